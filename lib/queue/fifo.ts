/** A first-in, first-out queue; each operation takes constant time. */
export class Fifo<T> implements Iterable<T> {
  /** What is in the queue, behind places that are empty already. */
  private items: (T | undefined)[] = [];
  /** Where the oldest item is. */
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  peek(): T | undefined {
    return this.items[this.head];
  }

  /** The item at a place, counted from the oldest. */
  at(place: number): T | undefined {
    return place < 0 ? undefined : this.items[this.head + place];
  }

  /** The item that was added last. */
  last(): T | undefined {
    return this.length > 0 ? this.items[this.items.length - 1] : undefined;
  }

  shift(): T | undefined {
    if (this.head === this.items.length) {
      return undefined;
    }
    const item = this.items[this.head];
    this.items[this.head++] = undefined;
    if (this.head === this.items.length) {
      this.clear();
    } else if (this.head > 1_024 && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  clear(): void {
    this.items = [];
    this.head = 0;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = this.head; i < this.items.length; i++) {
      yield this.items[i] as T;
    }
  }
}
