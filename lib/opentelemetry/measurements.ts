import type { Attributes } from '@opentelemetry/api';
import type { ClusterNodeStatus, NodeState } from '../cluster/events.js';
import type { TelemetrySource, TelemetryStream } from '../cluster/telemetry.js';

export interface Instrument {
  readonly kind: 'counter' | 'upDown' | 'gauge';
  readonly unit: string;
  readonly description: string;
  /** What several nodes of one process with the same attributes have together. @default sum */
  readonly together?: 'sum' | 'most' | 'least';
}

const OUR = 'redis_streams_adapter';

/**
 * What is looked at when metrics are collected. Names that begin with "messaging" are those of OpenTelemetry's messaging
 * conventions (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/).
 */
export const INSTRUMENTS = {
  'messaging.client.sent.messages': counter('{message}', 'Entries that Redis has acknowledged'),
  'messaging.client.consumed.messages': counter('{message}', 'Entries read from the stream'),
  [`${OUR}.entries`]: counter('{entry}', 'Entries read from the stream, by what became of them'),
  [`${OUR}.entries.lost`]: counter('{entry}', 'Entries that were gone before this node could read them'),
  [`${OUR}.entries.dropped`]: counter(
    '{entry}',
    'Broadcasts that were dropped: outbox full, closed, or refused by Redis',
  ),
  [`${OUR}.outbox.entries`]: upDown('{entry}', 'Broadcasts that wait for Redis'),
  [`${OUR}.outbox.size`]: upDown('By', 'How much memory the broadcasts that wait for Redis take'),
  [`${OUR}.replay.entries`]: upDown('{entry}', 'Entries that are kept in memory for recovery'),
  [`${OUR}.replay.size`]: upDown('By', 'How much memory the entries for recovery take'),
  [`${OUR}.backlog`]: upDown('{entry}', 'Entries that are fetched and wait to be delivered'),
  [`${OUR}.lag`]: { ...gauge('s', 'The age of the oldest entry that waits to be delivered'), together: 'most' },
  [`${OUR}.ready`]: { ...gauge('1', '1 if this node can do its work, else 0'), together: 'least' },
  [`${OUR}.nodes`]: { ...gauge('{node}', 'Nodes as this one sees them, by their state'), together: 'most' },
  [`${OUR}.sockets`]: upDown('{socket}', 'Sockets that are connected to this node, in all namespaces'),
  [`${OUR}.sessions`]: upDown('{session}', 'Clients whose sessions are kept in Redis while they are connected'),
  [`${OUR}.events`]: counter('{event}', 'What happened, by the type of the event'),
  [`${OUR}.recoveries`]: counter('{client}', 'Clients that came back, by what became of them'),
  [`${OUR}.heartbeats`]: counter('{message}', 'Heartbeats of this node and of others'),
  [`${OUR}.messages.rejected`]: counter('{message}', 'PUB/SUB messages that could not be understood'),
  [`${OUR}.requests.dropped`]: counter('{message}', 'Requests and answers that could not be sent'),
} satisfies Record<string, Instrument> as Readonly<Record<InstrumentName, Instrument>>;

export type InstrumentName =
  | 'messaging.client.sent.messages'
  | 'messaging.client.consumed.messages'
  | `${typeof OUR}.${
      | `entries${'' | '.lost' | '.dropped'}`
      | `${'outbox' | 'replay'}.${'entries' | 'size'}`
      | 'backlog'
      | 'lag'
      | 'ready'
      | 'nodes'
      | 'sockets'
      | 'sessions'
      | 'events'
      | 'recoveries'
      | 'heartbeats'
      | 'messages.rejected'
      | 'requests.dropped'}`;

/** A value at this moment; of a counter, since the start. */
export interface Measurement {
  name: InstrumentName;
  value: number;
  attributes: Attributes;
}

const NODE_STATES: readonly NodeState[] = ['up', 'suspect', 'down', 'left', 'unmonitored'];

/** @param events - how many there were of each type */
export function measure(
  { streams, node }: TelemetrySource,
  events: ReadonlyMap<string, number>,
  attributes: Attributes,
): Measurement[] {
  const all = streams().flatMap((stream) => measureStream(stream, attributes));
  if (!node) {
    return all;
  }
  const add = (name: InstrumentName, value: number, own: Attributes = {}): void =>
    void all.push({ name, value, attributes: { ...attributes, ...own } });
  const status = node.status();
  const nodes = node.nodes();
  add(`${OUR}.ready`, status.state === 'running' ? 1 : 0);
  for (const state of NODE_STATES) {
    add(`${OUR}.nodes`, nodes.filter((one) => one.state === state).length, { state });
  }
  add(`${OUR}.sockets`, nodes.find(({ self }) => self)?.sockets ?? 0);
  add(`${OUR}.sessions`, status.liveSessions);
  events.forEach((count, type) => add(`${OUR}.events`, count, { type }));
  measureCounters(status, add);
  return all;
}

/** Which stream something is about. */
export function destination(stream: string): Attributes {
  return { 'messaging.system': 'redis', 'messaging.destination.name': stream };
}

function measureStream({ name, ...stream }: TelemetryStream, attributes: Attributes): Measurement[] {
  const all: Measurement[] = [];
  const add = (instrument: InstrumentName, value: number | undefined, own: Attributes = {}): void => {
    if (value !== undefined) {
      all.push({ name: instrument, value, attributes: { ...attributes, ...destination(name), ...own } });
    }
  };
  const { appended, dropped, read, lost, delivered, passedOver, duplicates, rejected } = stream.counters;
  add('messaging.client.sent.messages', appended, { 'messaging.operation.name': 'send' });
  add('messaging.client.consumed.messages', read, { 'messaging.operation.name': 'receive' });
  add(`${OUR}.entries`, delivered, { outcome: 'delivered' });
  add(`${OUR}.entries`, passedOver, { outcome: 'passed_over' });
  add(`${OUR}.entries`, duplicates, { outcome: 'duplicate' });
  add(`${OUR}.entries`, rejected, { outcome: 'rejected' });
  add(`${OUR}.entries.lost`, lost);
  add(`${OUR}.entries.dropped`, dropped);
  add(`${OUR}.outbox.entries`, stream.outbox.entries);
  add(`${OUR}.outbox.size`, stream.outbox.bytes);
  add(`${OUR}.replay.entries`, stream.replay?.entries);
  add(`${OUR}.replay.size`, stream.replay?.bytes);
  add(`${OUR}.backlog`, stream.backlog);
  add(`${OUR}.lag`, stream.lagMs === undefined ? undefined : stream.lagMs / 1_000);
  return all;
}

function measureCounters(
  { counters, refusedRecoveries }: ClusterNodeStatus,
  add: (name: InstrumentName, value: number, own?: Attributes) => void,
): void {
  add(`${OUR}.recoveries`, counters.recoveries, { outcome: 'recovered' });
  for (const [reason, count] of Object.entries(refusedRecoveries)) {
    add(`${OUR}.recoveries`, count, { outcome: 'refused', reason });
  }
  add(`${OUR}.heartbeats`, counters.sentHeartbeats, { direction: 'sent' });
  add(`${OUR}.heartbeats`, counters.receivedHeartbeats, { direction: 'received' });
  add(`${OUR}.messages.rejected`, counters.rejectedMessages);
  add(`${OUR}.requests.dropped`, counters.droppedRequests);
}

function counter(unit: string, description: string): Instrument {
  return { kind: 'counter', unit, description };
}

function upDown(unit: string, description: string): Instrument {
  return { kind: 'upDown', unit, description };
}

function gauge(unit: string, description: string): Instrument {
  return { kind: 'gauge', unit, description };
}
