import { WebSocket } from 'ws';
import { serve } from '../../kit/node-process-child.js';
import { Receipts } from '../receipts.js';
import { ownCpu } from '../usage.js';

/**
 * All clients of all clusters. They speak as much of the protocols of Engine.IO and Socket.IO as is needed to receive: what
 * they use of the machine's CPU is then little beside what is measured.
 */
const clusters = new Map<string, { receipts: Receipts; sockets: WebSocket[] }>();

export interface ClientOptions {
  /** Of the node that it connects to. */
  url: string;
  /** Which node that is. */
  node: number;
  namespaces: string[];
}

/** Connects one client to namespaces of a node. Resolves when it has joined its rooms in each. */
function connect({ url, node, namespaces }: ClientOptions, client: number, receipts: Receipts): Promise<WebSocket> {
  const address = `${url}/socket.io/?EIO=4&transport=websocket&client=${client}`;
  const socket = new WebSocket(address, { perMessageDeflate: false, skipUTF8Validation: true });
  return new Promise((resolve, reject) => {
    let awaited = namespaces.length;
    /** Of the message that the next binary frame belongs to. */
    let head = '';
    const note = (text: string): void => {
      const message = { at: numberAfter(text, '"at":'), run: numberAfter(text, '"run":') };
      receipts.note(0, message, numberAfter(text, '"from":') === node);
    };
    socket.on('error', reject);
    socket.on('message', (frame: Buffer, isBinary: boolean) => {
      if (isBinary) {
        note(head);
        return;
      }
      const text = frame.toString('latin1', 0, HEAD);
      switch (text.slice(0, 2)) {
        case '2': // ping
          socket.send('3');
          break;
        case '42':
          if (text.includes('["message"')) {
            note(text);
          } else if (--awaited === 0) {
            resolve(socket);
          }
          break;
        case '45':
          head = text;
          break;
        case '44':
          reject(new Error(`client ${client} was refused: ${text}`));
          break;
        default:
          // Engine.IO's handshake is answered by connecting to the namespaces.
          if (text.startsWith('0')) {
            for (const name of namespaces) socket.send(name === '/' ? '40' : `40${name},`);
          }
      }
    });
  });
}

/** Bytes of a packet in which the time and run are: they come first. */
const HEAD = 120;

function numberAfter(text: string, label: string): number {
  return parseInt(text.slice(text.indexOf(label) + label.length), 10);
}

serve({
  connect: async (cluster: string, clients: ClientOptions[]) => {
    const receipts = new Receipts();
    const connecting = clients.map((options, client) => connect(options, client, receipts));
    clusters.set(cluster, { receipts, sockets: await Promise.all(connecting) });
  },
  disconnect: (cluster: string) => {
    for (const socket of clusters.get(cluster)?.sockets ?? []) socket.terminate();
    clusters.delete(cluster);
  },
  start: (cluster: string, run: number) => clusters.get(cluster)!.receipts.start(run, [0]),
  reached: (cluster: string, target: number) => clusters.get(cluster)!.receipts.reached(target),
  finish: (cluster: string) => clusters.get(cluster)!.receipts.finish(),
  cpu: ownCpu,
});
