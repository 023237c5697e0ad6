// Three nodes of the chat behind a sticky front, and a Redis server for them: `npm run demo`. Settings:
//   REDIS_URL   the Redis or Valkey server to use, instead of starting one
//   PORT, HOST  where the front listens; 127.0.0.1, and 3000 or else a free port
import { once } from 'node:events';
import { createFront } from './demo/front.mjs';
import { DemoNode } from './demo/node.mjs';
import { startRedis } from './demo/redis.mjs';

const { REDIS_URL, PORT, HOST = '127.0.0.1' } = process.env;
const STREAM_NAME = 'chat-demo';
const say = (text) => console.log(text);

/** @type {DemoNode[]} */
const nodes = [];
let redis;
let ready = false;
let stopping = false;

const supervisor = {
  async kill(node) {
    if (node.state === 'stopped') return;
    say(`Node ${node.number} is killed. Press ${node.number} to start it again.`);
    await node.kill();
  },
  async start(node) {
    if (node.state !== 'stopped' || stopping) return;
    say(`Node ${node.number} is starting ...`);
    await node.start();
    say(`Node ${node.number} is back.`);
  },
};
const front = createFront(nodes, supervisor);

async function listen() {
  const tries = PORT === undefined ? [3000, 0] : [Number(PORT)];
  for (const port of tries) {
    front.server.listen(port, HOST);
    const error = await once(front.server, 'listening').then(
      () => undefined,
      (reason) => reason,
    );
    if (error === undefined) return;
    if (error.code !== 'EADDRINUSE' || port === tries.at(-1)) {
      throw new Error(`The front cannot listen on ${HOST}:${port}: ${error.message}. Set PORT or HOST to another.`);
    }
  }
}

async function stop(code, why) {
  if (stopping) return;
  stopping = true;
  say(why);
  if (process.stdin.isTTY) process.stdin.setRawMode(false);
  await Promise.all(nodes.map((node) => node.stop()));
  front.close();
  await redis?.stop();
  process.exit(code);
}

function onKey(key) {
  const node = nodes[Number(key) - 1];
  if (key === 'q' || key === '\u0003') {
    void stop(0, 'Stopping ...');
  } else if (node !== undefined) {
    const done = node.state === 'stopped' ? supervisor.start(node) : supervisor.kill(node);
    done.catch((error) => say(error.message));
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void stop(0, 'Stopping ...'));

try {
  await listen();
  redis = REDIS_URL ? undefined : await startRedis();
  const url = REDIS_URL || redis.url;
  const where = redis ? `a ${redis.name} of their own` : 'the server of REDIS_URL';
  say(`Starting three nodes with ${where}, stream "${STREAM_NAME}" ...`);

  // Heartbeats are more frequent than by default, so that the page is lively.
  const env = { STREAM_NAME, HEARTBEAT_INTERVAL: '1000', HEARTBEAT_TIMEOUT: '3000', ...process.env, REDIS_URL: url };
  for (const number of [1, 2, 3]) {
    const print = (line) => ready && !stopping && say(line);
    nodes.push(new DemoNode(number, env, print));
  }
  await Promise.all(nodes.map((node) => node.start()));
  ready = true;
  if (process.stdin.isTTY) process.stdin.setRawMode(true);
  process.stdin.setEncoding('utf8').on('data', (keys) => [...keys].forEach(onKey));

  const host = ['0.0.0.0', '::'].includes(HOST) ? 'localhost' : HOST.includes(':') ? `[${HOST}]` : HOST;
  const address = `http://${host}:${front.server.address().port}`;
  say(`
  Chat      ${address}
            ${address}/?node=2 opens it on node 2
  Health    ${address}/health?node=1
  Nodes     ${nodes.map(({ number, port }) => `${number} on port ${port}`).join(', ')}
  Redis     ${redis?.url ?? 'that of REDIS_URL'}

  1 2 3     kills that node, or starts it again
  q         stops everything
`);
} catch (error) {
  await stop(1, error.message);
}
