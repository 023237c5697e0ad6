import { io } from '/socket.io/socket.io.esm.min.js';
import { $, element, Log, mark, time } from './dom.js';
import { Inbox } from './inbox.js';

const GUEST_INTERVAL = 1_500;
const NAMES = ['Ada', 'Alan', 'Barbara', 'Dennis', 'Edsger', 'Frances', 'Grace', 'Ken', 'Margaret', 'Radia', 'Tim'];
const REMARKS = ['Good morning.', 'It is quiet here.', 'I like this room.', 'Is anybody there?', 'I keep talking.'];

/** Whatever is sent is sent again until the server has acknowledged it; an inbox passes over what came already. */
const OPTIONS = { retries: 20, ackTimeout: 5_000, reconnectionDelay: 300, reconnectionDelayMax: 1_500 };

/** The left side of the page, and the page's connection. */
export class Chat {
  #client = newClient();
  #room = 'Lobby';
  #inbox = new Inbox();
  /** How many messages were sent to each room. */
  #sent = new Map();
  /** Messages that were sent and have not come back from the log yet, by number. */
  #pending = new Map();
  /** Whether the page is connected. */
  #online = false;
  /** Whether it has got what it missed, too. */
  #welcome = false;
  /** The node of the last connection. */
  #node;
  /** The line above the messages of the recovery under way, and their number. */
  #recovery;
  #peopleAsked = 0;
  #countdown;
  #guest;
  #log = new Log($('messages'), 500);
  #onNode;
  #onLeft;

  /**
   * @param {{ onNode: (node: { id: string, pid: number }) => void, onLeft: () => void }} listener called when the page
   *   is connected to a node, and when it is not any more
   */
  constructor({ onNode, onLeft }) {
    this.#onNode = onNode;
    this.#onLeft = onLeft;
    $('name').value = sessionStorage.getItem('name') ?? NAMES[Math.floor(Math.random() * NAMES.length)];

    const node = new URLSearchParams(location.search).get('node');
    this.socket = io({
      ...OPTIONS,
      query: node ? { node } : {},
      auth: (give) => give({ room: this.#room, name: this.#name }),
    });
    this.socket.on('connect', () => this.#onConnect());
    this.socket.on('disconnect', () => this.#onDisconnect());
    this.socket.on('welcome', (node) => this.#onWelcome(node));
    this.socket.on('message', (message) => this.#onMessage(message));
    this.socket.on('people-changed', () => this.#askPeople());

    $('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send($('text').value.trim());
      $('text').value = '';
    });
    $('rooms').addEventListener('change', ({ target }) => this.#enter(target.value));
    $('name').addEventListener('change', () => this.#enter(this.#room));
    $('cut').addEventListener('click', () => (this.#countdown ? this.#reconnect() : this.#cut()));
    $('guest').addEventListener('click', () => this.#toggleGuest());
  }

  /** Has the connection broken, and made again to that node of the demo. */
  moveTo(number) {
    this.socket.io.opts.query = { node: number };
    if (this.#online) this.socket.io.engine.close();
    else this.#reconnect();
  }

  get #name() {
    const name = $('name').value.trim() || NAMES[0];
    sessionStorage.setItem('name', name);
    return name;
  }

  // ── the connection ──────────────────────────────────────────────────────────────────────────────────────────────

  #onConnect() {
    this.#online = true;
    this.socket.io.opts.query = {};
    $('cut').disabled = false;
    if (this.socket.recovered) {
      this.#startRecovery();
    } else {
      // The server has put the new session into the room that `auth` named.
      this.#inbox.reset();
      if (this.#node) this.#note('This is a new session: what was sent meanwhile is not recovered.');
    }
  }

  #onDisconnect() {
    this.#online = false;
    this.#welcome = false;
    $('where').dataset.state = 'away';
    $('where').textContent = 'Not connected';
    $('people').textContent = '';
    this.#onLeft();
    this.#note(
      this.#countdown ? 'The connection is cut.' : `The connection to ${this.#node?.node ?? 'the server'} is lost.`,
    );
  }

  /** The first event that the server has sent to this connection: what was missed comes before it. */
  #onWelcome(node) {
    this.#welcome = true;
    this.#node = node;
    $('where').dataset.state = 'up';
    $('where').textContent = `This page is on ${node.node}`;
    this.#onNode(node);
    this.#endRecovery();
  }

  #cut() {
    const all = Number($('cut').dataset.seconds);
    let seconds = all;
    const show = () => {
      $('cut').textContent = `Reconnect now (${seconds} s)`;
      $('countdown').style.setProperty('--left', seconds / all);
    };
    this.#countdown = setInterval(() => (--seconds > 0 ? show() : this.#reconnect()), 1_000);
    show();
    $('cut-off').hidden = false;
    this.socket.io.reconnection(false);
    this.socket.io.engine.close();
  }

  #reconnect() {
    clearInterval(this.#countdown);
    this.#countdown = undefined;
    $('cut').textContent = 'Cut the connection';
    $('cut-off').hidden = true;
    this.socket.io.reconnection(true);
    this.socket.connect();
  }

  // ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────

  #send(text) {
    if (text === '') return;
    const number = (this.#sent.get(this.#room) ?? 0) + 1;
    this.#sent.set(this.#room, number);
    const line = this.#line({ client: this.#client, name: this.#name, text, at: Date.now() });
    line.dataset.state = 'sending';
    this.#pending.set(number, line);
    this.#log.append(line);
    this.#log.toEnd();

    this.socket.emit('message', { client: this.#client, number, text }, (error, reply) => {
      if (error || !reply.ok) {
        line.dataset.state = 'failed';
        line.append(element('p', { className: 'failure' }, error ? 'Not delivered.' : reply.error));
      }
    });
  }

  #onMessage(message) {
    const recovered = this.socket.recovered && !this.#welcome;
    if (message.room !== this.#room || !this.#inbox.take(message, recovered)) return this.#tally();

    if (message.client === this.#client) {
      this.#pending.get(message.number)?.remove();
      this.#pending.delete(message.number);
    }
    if (recovered) this.#startRecovery().missed++;
    this.#log.append(this.#line(message, recovered));
    this.#tally();
  }

  #line({ client, name, text, node, at }, recovered = false) {
    const head = element('p', { className: 'head' }, element('b', {}, name), ' ', element('time', {}, time(at)));
    if (node) head.append(' ', element('span', { className: 'node' }, mark(node), node));
    if (recovered) head.append(' ', element('span', { className: 'chip' }, 'recovered'));
    const line = element('li', { className: 'message' }, head, element('p', { className: 'text' }, text));
    line.classList.toggle('own', client === this.#client);
    line.classList.toggle('recovered', recovered);
    return line;
  }

  #note(text) {
    const line = element('li', { className: 'note' }, text);
    this.#log.append(line);
    return line;
  }

  #startRecovery() {
    this.#recovery ??= { line: this.#note('Recovered …'), missed: 0 };
    return this.#recovery;
  }

  #endRecovery() {
    if (!this.#recovery) return;
    const { line, missed } = this.#recovery;
    const count = missed === 0 ? 'nothing was missed' : missed === 1 ? '1 missed message' : `${missed} missed messages`;
    line.textContent = `Recovered on ${this.#node.node}: ${count}`;
    line.classList.add('recovery');
    this.#recovery = undefined;
  }

  #tally() {
    for (const count of ['received', 'recovered', 'missing', 'doubled']) $(count).textContent = this.#inbox[count];
  }

  // ── rooms and people ────────────────────────────────────────────────────────────────────────────────────────────

  #enter(room) {
    if (room !== this.#room) {
      this.#room = room;
      this.#inbox.reset();
      this.#pending.clear();
      this.#log.clear();
      this.#guest?.enter(room);
    }
    this.socket.emit('join', { room, name: this.#name }, () => undefined);
  }

  /** Volatile, so that it never waits among the messages; so it may get lost, and is asked again without an answer. */
  #askPeople() {
    const asked = ++this.#peopleAsked;
    this.socket.timeout(1_000).volatile.emit('people', (error, names) => {
      if (asked !== this.#peopleAsked) return;
      if (!error) $('people').textContent = `In this room: ${names.join(', ')}`;
      else if (this.#online) this.#askPeople();
    });
  }

  #toggleGuest() {
    if (this.#guest) {
      this.#guest.leave();
      this.#guest = undefined;
    } else {
      this.#guest = new Guest(`${this.#name}’s guest`, this.#room);
    }
    $('guest').ariaPressed = String(this.#guest !== undefined);
  }
}

/** Somebody else, with a connection of their own: for who tries the demo alone. */
class Guest {
  #client = newClient();
  #number = 0;
  #name;
  #room;
  #socket;
  #timer;

  constructor(name, room) {
    this.#name = name;
    this.#room = room;
    this.#socket = io({ ...OPTIONS, forceNew: true, auth: (give) => give({ room: this.#room, name }) });
    this.#timer = setInterval(() => this.#talk(), GUEST_INTERVAL);
  }

  enter(room) {
    this.#room = room;
    this.#client = newClient(); // which begins to count anew
    this.#number = 0;
    this.#socket.emit('join', { room, name: this.#name }, () => undefined);
  }

  leave() {
    clearInterval(this.#timer);
    this.#socket.disconnect();
  }

  #talk() {
    const number = ++this.#number;
    const text = `${REMARKS[number % REMARKS.length]} (${number})`;
    this.#socket.emit('message', { client: this.#client, number, text }, () => undefined);
  }
}

function newClient() {
  return crypto.getRandomValues(new Uint32Array(2)).join('-');
}
