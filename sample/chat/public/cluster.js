import { $, append, element, mark, time } from './dom.js';

/** Milliseconds. */
const RETRY = 1_000;
const ASK_AGAIN = 1_000;
const OUT_OF_DATE = 3_000;

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
    await this.#askProcesses();
    this.#watch();
  }

  #watch() {
    this.#source?.close();
    if (document.hidden || this.#here === undefined) return;
    const number = this.#processOf(this.#here)?.number;
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

  #onHappened({ type, node, at, ...details }) {
    const what = node ? `${this.#nameOf(node)} ${HAPPENED[type]}` : [type, ...Object.values(details)].join(' · ');
    const line = element('li', {}, element('time', {}, time(at)), ' ', what);
    line.dataset.type = type;
    append($('events'), line, 100);
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
    const up = shown.filter(({ node }) => node?.state === 'up').length;
    setText($('summary'), `${up} of ${shown.length} up`);
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
      this.#nodes = []; // no node answers: what was said last is not known to be so any more
      this.#show();
    }
    this.#showAges();
  }

  #showAges() {
    const now = Date.now() + this.#ahead;
    for (const card of this.#cards.values()) card.showAge(now);
  }

  #showStatus({ state, reasons, streams, counters }) {
    const [{ position, lagMs, outbox, replay }] = streams;
    setText($('position'), position ?? '–');
    setText($('lag'), `${lagMs} ms`);
    setText($('outbox'), `${outbox.entries} waiting`);
    setText($('replay'), `${replay.entries} entries`);
    setText($('recoveries'), String(counters.recoveries));
    $('problem').hidden = state === 'running';
    setText($('problem'), state === 'running' ? '' : `This node is ${state}: ${reasons.join('; ')}`);
  }
}

/** A node in the list. */
class Card {
  #node;
  #badge = element('span', { className: 'badge' });
  #here = element('span', { className: 'chip' }, 'you are here');
  #facts = { heard: element('dd'), sockets: element('dd'), backlog: element('dd'), process: element('dd') };
  #toggle = element('button', { type: 'button' });
  #move = element('button', { type: 'button' }, 'Move here');

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
    const state = node?.state ?? { running: 'joining', starting: 'starting', stopped: 'down' }[process.state];
    this.root.dataset.state = state;
    setText(this.#badge, state);
    this.#here.hidden = !isHere;
    const present = state === 'up' || state === 'suspect';
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

function processText(node, process) {
  if (!process) return String(node.pid);
  if (process.state === 'stopped') return 'ended';
  return process.state === 'starting' ? 'starting' : String(process.pids.at(-1));
}

/** Changes a text only if it is another, so that a screen reader is not told the same again. */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
