import type { Hearing } from '../wire/control.js';
import { within } from '../time/within.js';
import { nodeOf, serverUid, serverUids } from '../wire/server-uid.js';
import type { LocalNamespaces } from './local-namespaces.js';
import type { NodeRegistry } from './node-registry.js';
import type { BusMember, Census, CensusPeer, RequestBus, Subscribers } from './request-bus.js';

/** What is known of a peer when something is asked. */
interface KnownPeer extends CensusPeer {
  /** How often it has lost its subscriptions; undefined if it does not say what it hears. */
  readonly losses: number | undefined;
  /** Whether it says that it does not hear the namespace. */
  readonly isDeaf: boolean;
}

/** Finds out which servers have a namespace: from Redis and, when that cannot be asked, from what was heard. */
export class NamespaceCensus {
  /** @param commandTimeout - milliseconds for which Redis may take to answer */
  constructor(
    private readonly registry: Pick<
      NodeRegistry,
      'known' | 'present' | 'isGone' | 'unmonitoredIn' | 'hearingOf' | 'mayBeDeaf'
    >,
    private readonly namespaces: Pick<LocalNamespaces, 'named'>,
    private readonly commandTimeout: number,
  ) {}

  /**
   * Who else has a namespace, those that are known to be gone left out. Never rejected, for Socket.IO does not catch it:
   * when Redis cannot be asked, or does not answer within `commandTimeout`, it is all nodes that have sent heartbeats, and
   * those that were heard in the namespace without.
   *
   * Redis does not count a node that has only lost its subscriptions. It is counted here: it will hear again.
   *
   * @param bus - undefined before the node is started
   */
  async take(member: BusMember, bus: Pick<RequestBus, 'census' | 'hearing'> | undefined): Promise<Census> {
    const peers = this.peersIn(member.name); // as of now: what they lose later may be what is sent now
    const own = bus?.hearing;
    const asked = bus?.census(member, peers).catch(() => undefined);
    const counted = asked && (await within(this.commandTimeout, asked));
    const { named, others, silent } = counted ?? this.withoutRedis(member);
    for (const uid of named) {
      if (this.registry.isGone(nodeOf(uid))) {
        named.delete(uid);
      }
    }
    const census: Census = { named, others, hearing: new Map(), isCounted: counted !== undefined };
    for (const { id, uids, losses, isDeaf } of peers) {
      if (losses !== undefined && !this.registry.isGone(id)) {
        const isUnheard = isDeaf || (silent.has(id) && this.registry.mayBeDeaf(id));
        addHearing(census, uids, { hears: !isUnheard, losses });
      }
    }
    if (own) {
      addHearing(census, this.siblingsOf(member), { hears: !isUnheardBy(own, member.name), losses: own.losses });
    }
    return census;
  }

  private peersIn(nsp: string): KnownPeer[] {
    return this.registry.known().map(({ id, servers }) => {
      const hearing = this.registry.hearingOf(id);
      const isDeaf = hearing !== undefined && isUnheardBy(hearing, nsp);
      return { id, uids: serverUids(id, servers), isInRoot: hearing?.root === true, losses: hearing?.losses, isDeaf };
    });
  }

  private siblingsOf({ name, uid }: BusMember): string[] {
    return (this.namespaces.named(name) ?? []).map((member) => member.uid).filter((other) => other !== uid);
  }

  private withoutRedis(member: BusMember): Subscribers {
    const peers = this.registry.present().map(({ id }) => serverUid(id, 0));
    const named = new Set([...this.siblingsOf(member), ...peers]);
    return { named, others: this.registry.unmonitoredIn(member.name), silent: new Set() };
  }
}

function isUnheardBy({ unheard }: Hearing, nsp: string): boolean {
  return unheard === true || unheard.includes(nsp);
}

/** Those that do not hear now are counted too: they are asked when they hear again, if they have the namespace. */
function addHearing(
  { named, hearing }: Census,
  uids: readonly string[],
  how: { hears: boolean; losses: number },
): void {
  for (const uid of uids) {
    if (!how.hears) {
      named.add(uid);
    }
    if (named.has(uid)) {
      hearing.set(uid, how);
    }
  }
}
