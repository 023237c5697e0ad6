import type { Command } from '../driver.js';

/** Where a node of a cluster listens. */
export interface Address {
  host: string;
  port: number;
}

export function formatAddress({ host, port }: Address): string {
  return `${host}:${port}`;
}

/** The address that a text such as `127.0.0.1:6379` or `::1:6379` names. */
export function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}

const SLOTS = 16_384;

// CRC-16/XMODEM, as in https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
const CRC_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  }
  return crc;
});

/** The slot of a key: that of its hash tag, the text in its first braces, if it has one. */
export function keySlot(key: string): number {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of Buffer.from(hashed)) {
    crc = ((crc << 8) & 0xffff) ^ CRC_TABLE[(crc >> 8) ^ byte]!;
  }
  return crc % SLOTS;
}

/** The key of a command. */
export function keyOf(command: Command): string {
  switch (String(command[0]).toUpperCase()) {
    case 'XREAD':
      return String(command[command.findIndex((word) => String(word).toUpperCase() === 'STREAMS') + 1]);
    case 'XINFO':
      return String(command[2]);
    default:
      return String(command[1]);
  }
}

/** Which nodes a cluster has, and which of them is the master of each slot. */
export class ClusterSlots {
  private readonly owners = new Array<string | undefined>(SLOTS);
  readonly masters = new Set<string>();
  readonly replicas = new Set<string>();

  /**
   * @param reply - the reply to `CLUSTER SLOTS`
   * @param asked - the node that replied, which may not know the host by which it was reached
   * @param map - from an address that the cluster reports to one that can be reached from here
   */
  static parse(reply: unknown, asked: Address, map: (address: Address) => Address): ClusterSlots {
    const slots = new ClusterSlots();
    for (const range of reply as [number, number, ...[string | null, number][]][]) {
      const [first, last, ...members] = range;
      members.forEach(([host, port], i) => {
        if (host === '?') {
          return; // a node whose host name is not known yet
        }
        const address = formatAddress(host ? map({ host, port }) : { host: asked.host, port });
        (i === 0 ? slots.masters : slots.replicas).add(address);
        if (i === 0) {
          slots.owners.fill(address, Number(first), Number(last) + 1);
        }
      });
    }
    return slots;
  }

  get nodes(): string[] {
    return [...this.masters, ...this.replicas];
  }

  masterOf(slot: number): string | undefined {
    return this.owners[slot];
  }

  /** A node said that another one has the slot. */
  move(slot: number, address: string): void {
    this.owners[slot] = address;
    this.masters.add(address);
    this.replicas.delete(address);
  }
}

/** A reply that says where a slot is. `ASK`: for this once, for it is being moved there. */
export interface Redirect {
  kind: 'MOVED' | 'ASK';
  slot: number;
  /** Without a host if it is that of the node which replied. */
  address: Address;
}

export function toRedirect(error: Error): Redirect | undefined {
  const [, kind, slot, address] = /^(MOVED|ASK) (\d+) (\S*:\d+)/.exec(error.message) ?? [];
  return kind ? { kind: kind as Redirect['kind'], slot: Number(slot), address: parseAddress(address!) } : undefined;
}
