import type { StreamLog } from '../stream/stream-log.js';
import { toPlain } from '../wire/binary.js';
import { carry } from '../wire/carried.js';
import type { EventPacket, LoggedPacket } from '../wire/entry.js';
import { copyOf } from '../wire/msgpack.js';

export interface PacketsOptions {
  /** Whether values are meant as they are: the server's parser may carry more than Socket.IO's default parser does. */
  areExact: boolean;
  /** Whether clients are given offsets, to be recovered from. */
  haveOffsets: boolean;
}

/** The forms of a packet: as it goes to clients, and as it goes to other servers. */
export class Packets {
  /** @param log - whose offset a packet has that is not in it */
  constructor(
    private readonly log: Pick<StreamLog, 'offset'>,
    private readonly options: PacketsOptions,
  ) {}

  get areExact(): boolean {
    return this.options.areExact;
  }

  /** The packet as all clients are given it, wherever they are connected. @throws TypeError */
  exact(packet: EventPacket): EventPacket {
    return this.areExact ? { ...packet, data: carry(packet.data) as unknown[] } : packet;
  }

  /** The packet as it is now, and as the other servers are given it. @throws TypeError */
  onBus(packet: EventPacket): EventPacket {
    return this.areExact ? packet : { ...packet, data: toPlain(packet.data) as unknown[] };
  }

  /** The same, whatever becomes of the buffers in it. @throws TypeError */
  asItIsNow(packet: EventPacket): EventPacket {
    return copyOf(this.onBus(packet));
  }

  /**
   * The offset that a packet is given with, from which its client will ask to be recovered; undefined if it is given with none.
   *
   * A client takes the last item of any packet for its offset if it is a string, and could not be recovered from "hello"; so
   * to a packet that is not in the log and ends so, the offset is added of all that the client has been given.
   *
   * @param offset - undefined if the packet is not in the log
   */
  offsetFor(packet: LoggedPacket, offset?: string): string | undefined {
    if (!this.options.haveOffsets || packet.id !== undefined) {
      return undefined;
    }
    return offset ?? (typeof packet.data.at(-1) === 'string' ? this.log.offset() : undefined);
  }
}

export function withOffset({ type, data, json }: LoggedPacket, offset: string): LoggedPacket {
  const packet: LoggedPacket = { type, data: [...data, offset] };
  if (json !== undefined) {
    packet.json = `${json.slice(0, -1)},${JSON.stringify(offset)}]`;
  }
  return packet;
}

/** Wraps the encoder of a server: of a packet that is in the log, the JSON is known. */
export function reuseJson(adapter: object): void {
  type Encoder = { encode(packet: LoggedPacket & { nsp: string }): (string | Buffer)[] };
  const internals = adapter as { encoder: Encoder };
  const { encoder } = internals;
  internals.encoder = {
    encode: (packet) => {
      const { type, nsp, json } = packet;
      return json === undefined ? encoder.encode(packet) : [`${type}${nsp === '/' ? '' : `${nsp},`}${json}`];
    },
  };
}
