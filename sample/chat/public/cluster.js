import { $, element, Log, mark, setText, time } from './dom.js';
import { NumberPlot, StatePlot } from './plots.js';

/** Milliseconds. */
const RETRY = 1_000;
const ASK_AGAIN = 1_000;
const OUT_OF_DATE = 3_000;
const PLOT_INTERVAL = 1_000;
/** A rate over less time is mere noise. */
const MEASURE_INTERVAL = 900;
/** Values of the view: the largest of all streams, or their sum. */
const most = (streams, of) => Math.max(...streams.map(of));
const sum = (streams, of) => streams.reduce((total, stream) => total + of(stream), 0);

const HAPPENED = {
  'node-joined': 'joined',
  'node-suspected': 'is suspect: its heartbeat is overdue',
  'node-down': 'is down',
  'node-back': 'is back',
  'node-left': 'said goodbye',
};

/** The right side of the page: the cluster as the node sees it that this page is on. */
export class Cluster {
  #onMove;
  /** The node that the page is on. */
  #here;
  #hasBegun = false;
  #source;
  #nodes = [];
  #toldAt = 0;
  /** What the node's clock is ahead of the page's, in milliseconds. */
  #ahead = 0;
  /** The processes of the demo. Elsewhere nobody answers for them, and there is nothing to kill or start. */
  #processes = [];
  #supervised = true;
  #askedAt = -Infinity;
  #cards = new Map();
  /** The id of the node that tells what is shown, and what it told before. */
  #told;
  #lag = new NumberPlot($('lag-plot'), 'Lag', ' ms');
  #rate = new NumberPlot($('rate-plot'), 'Throughput', '/s');
  #states = new StatePlot($('states'));
  #events = new Log($('events'), 100);
  /** The last event that is shown, or will be when the names of nodes are known. */
  #shownEvent = Promise.resolve();
  #plottedAt = 0;
  /** Key, name and state of each card. */
  #shown = [];

  /** @param {{ onMove: (number: number) => void }} listener told to connect the page to that node of the demo */
  constructor({ onMove }) {
    this.#onMove = onMove;
    setInterval(() => this.#tick(), 250);
    // A browser makes few connections to one server: a page that nobody sees leaves them to others.
    document.addEventListener('visibilitychange', () => this.#watch());
  }

  /** To be called when the page is connected to a node. */
  async follow(node) {
    this.#here = node;
    this.#hasBegun = true;
    await this.#askProcesses();
    this.#watch();
  }

  /** To be called when the page is connected to no node any more. The cluster is then seen by whichever node answers. */
  leave() {
    this.#here = undefined;
    this.#show();
  }

  #watch() {
    this.#source?.close();
    if (document.hidden || !this.#hasBegun) return;
    const number = this.#here && this.#processOf(this.#here)?.number;
    const source = new EventSource(number === undefined ? 'nodes' : `nodes?node=${number}`);
    this.#source = source;
    source.addEventListener('cluster', ({ data }) => this.#onCluster(JSON.parse(data)));
    source.addEventListener('happened', ({ data }) => this.#onHappened(JSON.parse(data)));
    source.addEventListener('error', () => {
      void this.#askProcesses();
      // It tries again by itself when its connection broke, but not when the answer was an error.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#source === source && this.#watch(), RETRY);
    });
  }

  #onCluster({ nodes, status, now }) {
    this.#nodes = nodes;
    this.#toldAt = performance.now();
    this.#ahead = now - Date.now();
    this.#showStatus(status);
    this.#show();
    const isNew = nodes.some((node) => this.#processOf(node) === undefined);
    if (isNew || performance.now() - this.#askedAt > ASK_AGAIN) void this.#askProcesses();
  }

  #onHappened(event) {
    this.#shownEvent = this.#shownEvent.then(async () => {
      // A node that was started just now is not among the processes that the page knows.
      if (event.node && !this.#processOf(event.node)) await this.#askProcesses();
      const { type, node, at, ...details } = event;
      const facts = Object.entries(details).map(([name, value]) => `${name} ${value}`);
      const what = node ? `${this.#nameOf(node)} ${HAPPENED[type] ?? type}` : [type, ...facts].join(' · ');
      const line = element('li', {}, element('time', {}, time(at)), ' ', what);
      line.dataset.type = type;
      this.#events.append(line);
    });
  }

  // ── the demo's processes ────────────────────────────────────────────────────────────────────────────────────────

  async #askProcesses(path = '', method = 'GET') {
    if (!this.#supervised) return;
    this.#askedAt = performance.now();
    const answer = await fetch(`/demo/nodes${path}`, { method }).catch(() => undefined);
    if (answer?.ok) this.#processes = await answer.json();
    this.#supervised = answer?.status !== 404;
    this.#show();
  }

  #processOf({ pid }) {
    return this.#processes.find(({ pids }) => pids.includes(pid));
  }

  #nameOf(node) {
    const process = this.#processOf(node);
    return process ? `node ${process.number}` : `${node.host}:${node.pid}`;
  }

  // ── what is seen ────────────────────────────────────────────────────────────────────────────────────────────────

  /** One card for each process of the demo, with its latest node; and one for each node that is none of the demo's. */
  #show() {
    const shown = this.#processes.map((process) => ({
      key: `process ${process.number}`,
      name: `node ${process.number}`,
      node: this.#nodes.find(({ pid }) => pid === process.pids.at(-1)),
      process,
    }));
    for (const node of this.#nodes) {
      if (!this.#processOf(node)) shown.push({ key: node.id, name: this.#nameOf(node), node });
    }
    for (const [key, card] of this.#cards) {
      if (!shown.some((one) => one.key === key)) {
        card.remove();
        this.#cards.delete(key);
      }
    }
    for (const one of shown) {
      const card = this.#cards.get(one.key) ?? this.#addCard(one);
      card.show(one, one.node !== undefined && one.node.id === this.#here?.id);
    }
    this.#shown = shown.map(({ key, name, node, process }) => ({ key, name, state: stateOf(node, process) }));
    const up = this.#shown.filter(({ state }) => state === 'up').length;
    const isKnown = this.#nodes.length > 0;
    setText($('summary'), isKnown ? `${up} of ${shown.length} up` : 'no node answers');
    this.#plot();
    this.#showAges();
  }

  #addCard({ key, name, process }) {
    const card = new Card(
      name,
      process && {
        kill: () => this.#askProcesses(`/${process.number}/kill`, 'POST'),
        start: () => this.#askProcesses(`/${process.number}/start`, 'POST'),
        move: () => this.#onMove(process.number),
      },
    );
    this.#cards.set(key, card);
    $('nodes').append(card.root);
    return card;
  }

  #tick() {
    const isTold = this.#source?.readyState === EventSource.OPEN || performance.now() - this.#toldAt < OUT_OF_DATE;
    if (!isTold && this.#nodes.length > 0) {
      // No node answers: what was said last is not known to be so any more.
      this.#nodes = [];
      this.#showStatus(undefined);
      this.#show();
    }
    if (performance.now() - this.#plottedAt > PLOT_INTERVAL) this.#plot();
    this.#showAges();
  }

  #plot() {
    this.#plottedAt = performance.now();
    const isKnown = this.#nodes.length > 0;
    this.#states.add(this.#shown.map((one) => ({ ...one, state: isKnown ? one.state : undefined })));
    for (const plot of [this.#states, this.#lag, this.#rate]) plot.show();
  }

  #showAges() {
    const now = Date.now() + this.#ahead;
    for (const card of this.#cards.values()) card.showAge(now);
  }

  /** @param status of the node that tells it; undefined when none does */
  #showStatus(status) {
    const teller = status && this.#nodes.find(({ id }) => id === status.id);
    setText($('view-title'), teller ? `Seen by ${this.#nameOf(teller)}` : 'Seen by no node');
    this.#measure(status);
    const streams = status?.streams ?? [];
    setText($('position'), streams.map(({ position }) => position ?? '–').join(', ') || '–');
    setText($('outbox'), status ? `${sum(streams, ({ outbox }) => outbox.entries)} waiting` : '–');
    setText($('replay'), status ? `${sum(streams, ({ replay }) => replay.entries)} entries` : '–');
    setText($('recoveries'), status ? String(status.counters.recoveries) : '–');
    const isWell = status === undefined || status.state === 'running';
    $('problem').hidden = isWell;
    setText($('problem'), isWell ? '' : `This node is ${status.state}: ${status.reasons.join('; ')}`);
  }

  /** Plots the lag, and how many entries the node has read since it was looked at last. */
  #measure(status) {
    const at = performance.now();
    const read = status && sum(status.streams, ({ counters }) => counters.read);
    const before = this.#told;
    if (status === undefined || before?.id !== status.id) {
      this.#told = status && { id: status.id, at, read };
      this.#rate.add(undefined);
    } else if (at - before.at >= MEASURE_INTERVAL) {
      this.#told = { id: status.id, at, read };
      this.#rate.add(((read - before.read) * 1_000) / (at - before.at));
    }
    this.#lag.add(status && most(status.streams, ({ lagMs }) => lagMs));
  }
}

/** A node in the list. */
class Card {
  #node;
  #badge = element('span', { className: 'badge' });
  #here = element('span', { className: 'chip' }, 'you are here');
  #facts = { heard: element('dd'), sockets: element('dd'), backlog: element('dd'), process: element('dd') };
  #toggle = element('button', { type: 'button' });
  #move = element('button', { type: 'button' }, 'Move');

  /** @param actions what its buttons do; without them it has none */
  constructor(name, actions) {
    const title = `${name[0].toUpperCase()}${name.slice(1)}`;
    const facts = Object.entries({ heard: 'heartbeat', sockets: 'sockets', backlog: 'backlog', process: 'process' });
    this.root = element(
      'li',
      { className: 'card', ariaLabel: title },
      element('h3', {}, mark(name), title),
      this.#badge,
      element('div', { className: 'actions' }, this.#here),
      element('dl', {}, ...facts.map(([key, term]) => element('div', {}, element('dt', {}, term), this.#facts[key]))),
    );
    if (actions) {
      this.#toggle.addEventListener('click', () => actions[this.#toggle.dataset.action]());
      this.#move.addEventListener('click', () => actions.move());
      this.#here.after(this.#move, this.#toggle);
    }
  }

  show({ name, node, process }, isHere) {
    if (node?.lastSeen !== this.#node?.lastSeen && node?.state === 'up') this.#beat();
    this.#node = node;
    const state = stateOf(node, process);
    this.root.dataset.state = state;
    setText(this.#badge, state);
    this.#here.hidden = !isHere;
    const present = state === 'up' || state === 'suspect'; // else its numbers are of the past
    setText(this.#facts.sockets, present ? String(node.sockets) : '–');
    setText(this.#facts.backlog, present ? String(node.backlog) : '–');
    setText(this.#facts.process, processText(node, process));
    if (process) {
      const stopped = process.state === 'stopped';
      this.#toggle.dataset.action = stopped ? 'start' : 'kill';
      setText(this.#toggle, stopped ? 'Start' : 'Kill');
      this.#toggle.ariaLabel = `${stopped ? 'Start' : 'Kill'} ${name}`;
      this.#toggle.disabled = process.state === 'starting';
      this.#move.ariaLabel = `Move to ${name}`;
      this.#move.hidden = isHere || process.state !== 'running';
    }
  }

  showAge(now) {
    const { state, self, lastSeen } = this.#node ?? {};
    const age = `${Math.max(0, (now - lastSeen) / 1_000).toFixed(1)} s`;
    const texts = {
      up: `${age} ago`,
      suspect: `overdue, ${age} ago`,
      down: `silent for ${age}`,
      left: `left ${age} ago`,
    };
    setText(this.#facts.heard, self ? 'tells you this' : (texts[state] ?? '–'));
  }

  remove() {
    this.root.remove();
  }

  #beat() {
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    this.#badge.animate([{ '--beat': 1 }, { '--beat': 0 }], { duration: 600, easing: 'ease-out' });
  }
}

/** The cluster learns only by silence that a process has ended: until then it is neither up nor known to be down. */
function stateOf(node, process) {
  if (process?.state === 'stopped' && (node?.state === 'up' || node === undefined)) return 'ended';
  return node?.state ?? { running: 'joining', starting: 'starting' }[process?.state] ?? 'unknown';
}

function processText(node, process) {
  if (!process) return String(node.pid);
  if (process.state === 'stopped') return 'ended';
  return process.state === 'starting' ? 'starting' : String(process.pids.at(-1));
}
