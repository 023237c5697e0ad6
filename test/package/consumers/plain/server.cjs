const { createServer } = require('node:http');
const { createClient } = require('redis');
const { Server } = require('socket.io');
const { createAdapter } = require('nestjs-redis-streams-adapter/adapter');

async function main() {
  const client = await createClient({ url: process.env.REDIS_URL }).connect();
  const adapter = createAdapter(client, { streamName: 'chat' });
  const http = createServer();
  const io = new Server(http, { adapter });
  io.on('connection', (socket) => socket.on('say', (text) => io.emit('said', text)));
  await adapter.node.start(); // from here on it misses nothing that other nodes send
  http.listen(0, '127.0.0.1', () => console.log(`Listening on ${http.address().port}`));

  process.once('SIGTERM', async () => {
    await io.close();
    await client.close();
  });
}

void main();
