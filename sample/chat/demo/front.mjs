import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { URLSearchParams } from 'node:url';

/** How many polling sessions are remembered. */
const MAX_SESSIONS = 10_000;

/** @typedef {import('./node.mjs').DemoNode} DemoNode */

/**
 * The sticky front before the nodes, as a load balancer would be. Requests go to the nodes in turn; but those of a
 * polling session (`sid`) go to the node that opened it, and those with `?node=2` to that one, if it is running.
 *
 * `/demo/nodes` is the front's own: the processes, and `POST /demo/nodes/2/kill` and `/start`.
 *
 * @param {DemoNode[]} nodes
 * @param {{ kill(node: DemoNode): Promise<void>, start(node: DemoNode): Promise<void> }} supervisor
 * @returns {{ server: import('node:http').Server, close: () => void }}
 */
export function createFront(nodes, supervisor) {
  /** The node of each polling session. */
  const sessions = new Map();
  const tunnels = new Set();
  let turn = 0;

  function pick(req, except) {
    const query = new URLSearchParams(req.url.split('?')[1]);
    const usable = nodes.filter((node) => node.state === 'running' && !except.has(node));
    const wanted = sessions.get(query.get('sid')) ?? nodes[Number(query.get('node')) - 1];
    return usable.includes(wanted) ? wanted : usable[turn++ % usable.length];
  }

  function remember(node, answer) {
    answer.once('data', (chunk) => {
      const sid = /"sid":"([^"]+)"/.exec(chunk.toString())?.[1];
      if (sid !== undefined) sessions.set(sid, node);
      if (sessions.size > MAX_SESSIONS) sessions.delete(sessions.keys().next().value);
    });
  }

  function forward(req, res, except = new Set()) {
    const node = pick(req, except);
    if (node === undefined) {
      res.writeHead(503, { 'content-type': 'text/plain' }).end('No node is running.\n');
      return;
    }
    const headers = { ...req.headers, connection: 'close' };
    const passed = request({
      port: node.port,
      host: '127.0.0.1',
      method: req.method,
      path: req.url,
      headers,
      agent: false,
    });
    passed.once('response', (answer) => {
      if (req.url.startsWith('/socket.io/') && !req.url.includes('sid=')) remember(node, answer);
      delete answer.headers.connection;
      res.writeHead(answer.statusCode, answer.headers);
      res.flushHeaders();
      answer.pipe(res);
      answer.once('close', () => answer.complete || res.destroy());
    });
    passed.once('error', () => {
      if (res.headersSent) res.destroy();
      else if (req.method === 'GET') forward(req, res, except.add(node));
      else res.writeHead(502).end();
    });
    res.once('close', () => passed.destroy());
    req.pipe(passed);
  }

  /** A WebSocket: bytes, from the upgrade on. */
  function tunnel(req, client, head) {
    const node = pick(req, new Set());
    if (node === undefined) {
      client.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n');
      return;
    }
    const upstream = connect(node.port, '127.0.0.1', () => {
      const headers = req.rawHeaders.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
      upstream.write(`${req.method} ${req.url} HTTP/1.1\r\n${headers}\r\n`);
      upstream.write(head);
      client.pipe(upstream).pipe(client);
    });
    for (const socket of [client, upstream]) {
      tunnels.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        client.destroy();
        upstream.destroy();
        tunnels.delete(socket);
      });
    }
  }

  async function supervise(req, res) {
    const [, number, action] = /^\/demo\/nodes(?:\/(\d+)\/(kill|start))?$/.exec(req.url) ?? [];
    const node = nodes[Number(number) - 1];
    const { origin, host } = req.headers;
    if (req.method === 'POST' && origin !== undefined && origin !== `http://${host}`) {
      res.writeHead(403).end('Not from another site.\n');
    } else if (req.method === 'POST' && node !== undefined) {
      await supervisor[action](node);
    } else if (req.method !== 'GET' || req.url !== '/demo/nodes') {
      res.writeHead(404).end();
    }
    if (res.headersSent) return;
    res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    res.end(JSON.stringify(nodes.map(({ number, state, pids, port }) => ({ number, state, pids, port }))));
  }

  const server = createServer((req, res) => {
    if (!req.url.startsWith('/demo/')) forward(req, res);
    else supervise(req, res).catch((error) => res.writeHead(500).end(`${error.message}\n`));
  });
  server.on('upgrade', tunnel);
  return {
    server,
    close() {
      server.close();
      server.closeAllConnections();
      for (const socket of tunnels) socket.destroy();
    },
  };
}
