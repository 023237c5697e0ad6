import { within } from '../time/within.js';
import { nodeOf, serverUid, serverUids } from '../wire/server-uid.js';
import type { LocalNamespaces } from './local-namespaces.js';
import type { NodeRegistry } from './node-registry.js';
import type { BusMember, Census, RequestBus } from './request-bus.js';

/** Finds out which servers have a namespace: from Redis and, when that cannot be asked, from what was heard. */
export class NamespaceCensus {
  /** @param commandTimeout - milliseconds for which Redis may take to answer */
  constructor(
    private readonly registry: Pick<NodeRegistry, 'known' | 'present' | 'isGone' | 'unmonitoredIn'>,
    private readonly namespaces: Pick<LocalNamespaces, 'named'>,
    private readonly commandTimeout: number,
  ) {}

  /**
   * Who else has a namespace, those that are known to be gone left out. Never rejected, for Socket.IO does not catch it:
   * when Redis cannot be asked, or does not answer within `commandTimeout`, it is all nodes that have sent heartbeats, and
   * those that were heard in the namespace without.
   *
   * @param bus - undefined before the node is started
   */
  async take(member: BusMember, bus: Pick<RequestBus, 'census'> | undefined): Promise<Census> {
    const peers = this.registry.known().map(({ id, servers }) => serverUids(id, servers));
    const asked = bus?.census(member, peers).catch(() => undefined);
    const counted = asked && (await within(this.commandTimeout, asked));
    const { named, others } = counted ?? this.withoutRedis(member);
    for (const uid of named) {
      if (this.registry.isGone(nodeOf(uid))) {
        named.delete(uid);
      }
    }
    return { named, others };
  }

  private withoutRedis({ name, uid }: BusMember): Census {
    const own = (this.namespaces.named(name) ?? []).map((member) => member.uid).filter((other) => other !== uid);
    const named = new Set([...own, ...this.registry.present().map(({ id }) => serverUid(id, 0))]);
    return { named, others: this.registry.unmonitoredIn(name) };
  }
}
