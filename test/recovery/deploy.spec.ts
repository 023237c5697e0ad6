import { expect, test } from '@jest/globals';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import { Redis } from 'ioredis';
import type { Server } from 'socket.io';
import { RedisStreamsAdapterModule } from 'nestjs-redis-streams-adapter';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';
import { Random } from '../kit/random.js';
import { portOf, startApp } from '../nest/nest-app.js';
import { anomalies, Ledger, startLoad } from './ledger.js';
import { receives, visit, type Visitor } from './visitor.js';

@WebSocketGateway({ connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares: false } })
class Gateway {
  @WebSocketServer() declare server: Server;
}

test('three Nest apps, replaced one after the other under load, lose no client and no message', async () => {
  const redis = await RedisServer.start();
  const random = new Random(4);
  const client = new Redis({ port: redis.port });
  closeAfterwards({ close: () => client.disconnect() });
  const start = async () => {
    const app = await startApp({
      imports: [RedisStreamsAdapterModule.forRoot({ client, heartbeatInterval: 200, heartbeatTimeout: 600 })],
      providers: [Gateway],
    });
    const { server: io } = app.get(Gateway);
    io.use((_socket, next) => void setTimeout(next, random.between(0, 15)));
    io.on('connection', (socket) => {
      if (!socket.recovered) {
        void socket.join((socket.handshake.auth as { rooms: string[] }).rooms);
      }
    });
    return { app, io, url: `http://127.0.0.1:${portOf(app)}` };
  };
  const nodes = [await start(), await start(), await start()];
  const ledger = new Ledger();
  const visitors: Visitor[] = [];
  for (let i = 0; i < 30; i++) {
    visitors.push(await visit(nodes[i % 3]!, { rooms: ledger.roomsOf(i) }));
  }
  const load = startLoad(nodes, ledger, visitors, random);
  await Promise.all(visitors.map((visitor) => receives(visitor, 5)));

  for (let round = 0; round < 3; round++) {
    nodes.push(await start());
    const old = nodes.shift()!;
    visitors.forEach((visitor) => visitor.goTo(random.pick(nodes).url)); // as soon as its node is gone
    await old.app.close();
    await until(() => visitors.every(({ isConnected }) => isConnected), { what: 'all clients to be back' });
  }
  load.stop();
  await ledger.arrived(visitors);

  const report = ledger.check(visitors);
  expect({ ...report, anomalies: anomalies(report) }).toMatchObject({ anomalies: 0, missing: 0, refused: 0 });
  expect(report.recoveries).toBeGreaterThanOrEqual(30);
}, 60_000);
