/**
 * What this page has received, and whether it is all and once: each client numbers its messages to a room from 1.
 */
export class Inbox {
  received = 0;
  recovered = 0;
  missing = 0;
  doubled = 0;
  #last = new Map();

  /** To be called when what came meanwhile was not for this page: it was not in the room, or has a new session. */
  reset() {
    this.#last.clear();
  }

  /** Whether the message is new. One that is not was sent again by its client, which had no answer the first time. */
  take({ client, number }, recovered) {
    const last = this.#last.get(client) ?? number - 1;
    if (number <= last) {
      this.doubled++;
      return false;
    }
    this.#last.set(client, number);
    this.received++;
    this.recovered += recovered ? 1 : 0;
    this.missing += number - last - 1;
    return true;
  }
}
