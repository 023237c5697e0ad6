import { Inject } from '@nestjs/common';
import { REDIS_STREAMS_CLIENT } from './redis-streams.constants.js';

/**
 * Injects the Redis client that the module uses, the same as `@Inject(REDIS_STREAMS_CLIENT)`.
 *
 * @publicApi
 */
export const InjectRedisStreamsClient = (): PropertyDecorator & ParameterDecorator => Inject(REDIS_STREAMS_CLIENT);
