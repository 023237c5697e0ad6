/**
 * The injection token of the Redis client that the module uses: the one passed in as `client`, or the one made from
 * `connection`. In tests it can be replaced: `overrideProvider(REDIS_STREAMS_CLIENT).useValue(client)`.
 *
 * The module itself only duplicates the client; one that was made from `connection` connects when it is first used.
 *
 * @publicApi
 */
export const REDIS_STREAMS_CLIENT = Symbol.for('nestjs-redis-streams-adapter:client');

/** The injection token of the module's options. */
export const REDIS_STREAMS_OPTIONS = Symbol.for('nestjs-redis-streams-adapter:options');
