import { io as connect } from 'socket.io-client';
import { serve } from '../kit/node-process-child.js';
import { Receipts } from './receipts.js';
import { ROOM, type Message } from './scenarios.js';

/** All clients of all fleets: they are no part of what is measured. */
const fleets = new Map<string, Receipts>();

serve({
  /** One client for each node of a fleet. */
  connect: async (fleet: string, urls: string[], member: number) => {
    const receipts = new Receipts();
    fleets.set(fleet, receipts);
    const connecting = urls.map((url, i) => {
      const query = i === member ? { room: ROOM } : {};
      const socket = connect(url, { transports: ['websocket'], forceNew: true, query });
      socket.on('message', (message: Message) => receipts.note(i, message));
      return new Promise<void>((resolve) => socket.once('connect', resolve));
    });
    await Promise.all(connecting);
  },
  start: (fleet: string, run: number, recipients: number[]) => fleets.get(fleet)!.start(run, recipients),
  reached: (fleet: string, target: number) => fleets.get(fleet)!.reached(target),
  finish: (fleet: string) => fleets.get(fleet)!.finish(),
});
