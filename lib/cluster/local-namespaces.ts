import type { LogEntry, LogMessage } from '../wire/entry.js';
import { serverIndexOf, serverUid } from '../wire/server-uid.js';
import type { BusMember } from './request-bus.js';

/** A namespace of a Socket.IO server of this process: what the node delivers to. */
export interface NamespaceMember extends BusMember {
  /** Given each entry of its namespace, in the order of the log. Returns whether it, or somebody, was given it. */
  deliver(entry: LogEntry, own: boolean): boolean;
  /** Given what another server of this node has appended, if it is not to wait for its being read. */
  deliverAtOnce(message: LogMessage): void;
  /** A node has come or gone: those that have the namespace may have changed. */
  onPeersChanged(): void;
  /** This node hears the others, for the first time or again: what they have answered meanwhile may be lost. */
  onSubscribed(): void;
  readonly socketCount: number;
}

/** The namespaces of the Socket.IO servers of this process, and the uids of these servers. */
export class LocalNamespaces {
  /** By name: one for each server that has the namespace. */
  private readonly members = new Map<string, NamespaceMember[]>();

  /** @param nodeId - from which the servers' uids are made */
  constructor(private readonly nodeId: string) {}

  get isEmpty(): boolean {
    return this.members.size === 0;
  }

  has(name: string): boolean {
    return this.members.has(name);
  }

  /** Those with a name; undefined if there is none. */
  named(name: string): readonly NamespaceMember[] | undefined {
    return this.members.get(name);
  }

  all(): NamespaceMember[] {
    return [...this.members.values()].flat();
  }

  add(member: NamespaceMember): void {
    this.members.set(member.name, [...(this.members.get(member.name) ?? []), member]);
  }

  remove(member: NamespaceMember): void {
    const rest = this.siblingsOf(member);
    if (rest.length > 0) {
      this.members.set(member.name, rest);
    } else {
      this.members.delete(member.name);
    }
  }

  /** Those with the same name, of other servers. */
  siblingsOf(member: NamespaceMember): NamespaceMember[] {
    return (this.members.get(member.name) ?? []).filter((other) => other !== member);
  }

  /** The uid of one more server that has the namespace. */
  nextUid(name: string): string {
    const taken = new Set(this.members.get(name)?.map(({ uid }) => uid));
    let index = 0;
    while (taken.has(serverUid(this.nodeId, index))) {
      index++;
    }
    return serverUid(this.nodeId, index);
  }

  /** How many servers there are; 1 before the first has a namespace. */
  get serverCount(): number {
    return this.all().reduce((most, { uid }) => Math.max(most, serverIndexOf(uid) + 1), 1);
  }

  get socketCount(): number {
    return this.all().reduce((sum, member) => sum + member.socketCount, 0);
  }
}
