import { io as connect } from 'socket.io-client';
import { serve } from '../kit/node-process-child.js';
import { Receipts } from './receipts.js';
import { ROOM, type Message } from './scenarios.js';

/** All clients of all clusters: they are no part of what is measured. */
const clusters = new Map<string, Receipts>();

serve({
  /** One client for each node of a cluster. */
  connect: async (cluster: string, urls: string[], member: number) => {
    const receipts = new Receipts();
    clusters.set(cluster, receipts);
    const connecting = urls.map((url, i) => {
      const query = i === member ? { room: ROOM } : {};
      const socket = connect(url, { transports: ['websocket'], forceNew: true, query });
      socket.on('message', (message: Message) => receipts.note(i, message));
      return new Promise<void>((resolve) => socket.once('connect', resolve));
    });
    await Promise.all(connecting);
  },
  start: (cluster: string, run: number, recipients: number[]) => clusters.get(cluster)!.start(run, recipients),
  reached: (cluster: string, target: number) => clusters.get(cluster)!.reached(target),
  finish: (cluster: string) => clusters.get(cluster)!.finish(),
});
