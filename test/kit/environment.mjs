import { TestEnvironment } from 'jest-environment-node';

/** What keeps a process alive, and a test file may leave behind. */
const KINDS = ['Timeout', 'TCPSocketWrap', 'TCPServerWrap', 'TCPConnectWrap', 'TLSWrap', 'ProcessWrap'];
/** Milliseconds. A client of ioredis waits 2 s for a server that does not close its side of a connection. */
const PATIENCE = 5_000;

/*
 * Jest kills a worker that is not gone half a second after the last file, and says that tests leak. All that is left by then is
 * Node freeing what it has, which takes a third of a second on an idle machine; the operating system does it at once.
 */
if (process.env.JEST_WORKER_ID && process.send) process.once('exit', () => process.exit());

/**
 * The environment of Node, and a promise of each test file: a few seconds after its end nothing of it is left that keeps
 * the process alive. Else the file fails, and not, as Jest has it, whichever worker happens to end with it.
 */
export default class extends TestEnvironment {
  #file;
  #before = count();
  /** Whether a test of it has failed: what it has left open does not matter then, and must not be all that is reported. */
  #hasFailed = false;

  constructor(config, context) {
    super(config, context);
    this.#file = context.testPath;
  }

  handleTestEvent({ name, test }) {
    if (name === 'test_done' && test.errors.length > 0) this.#hasFailed = true;
  }

  async teardown() {
    await super.teardown();
    if (this.#hasFailed) return;
    const deadline = Date.now() + PATIENCE;
    for (let left = this.#left(); left.length > 0; left = this.#left()) {
      if (Date.now() > deadline) throw new Error(`${this.#file} has left open: ${left.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** What is open and was not before this file. */
  #left() {
    const now = count();
    return KINDS.filter((kind) => now[kind] > this.#before[kind]).map((kind) => `${now[kind]} ${kind}`);
  }
}

function count() {
  const open = process.getActiveResourcesInfo();
  return Object.fromEntries(KINDS.map((kind) => [kind, open.filter((one) => one === kind).length]));
}
