// Says something to the clients of all servers, and ends.
import { Redis } from 'ioredis';
import { RedisStreamsEmitter } from 'nestjs-redis-streams-adapter/emitter';

const client = new Redis(process.env.REDIS_URL);
const emitter = new RedisStreamsEmitter(client, { streamName: 'chat' });
emitter.emit('said', 'from a worker');
await emitter.close();
await client.quit();
