import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { createAdapter } from 'nestjs-redis-streams-adapter/adapter';

const client = new Redis(process.env.REDIS_URL);
const adapter = createAdapter(client, { streamName: 'chat' });
const http = createServer();
const io = new Server(http, { adapter });
io.on('connection', (socket) => socket.on('say', (text) => io.emit('said', text)));
await adapter.node.start(); // from here on it misses nothing that other nodes send
http.listen(0, '127.0.0.1', () => console.log(`Listening on ${http.address().port}`));

process.once('SIGTERM', async () => {
  await io.close();
  await client.quit(); // it is ours: the adapter has used duplicates of it
});
