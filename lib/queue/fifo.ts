/** How many items there is room for at first, and at least: a power of two. */
const FIRST_CAPACITY = 8;
/** A queue that was longer than this gives its memory back once it is empty. */
const KEPT_CAPACITY = 1_024;

/**
 * A first-in, first-out queue; each operation takes constant time. A short one that is filled and emptied again and again makes
 * nothing for the garbage collector.
 */
export class Fifo<T> implements Iterable<T> {
  /** A ring: the oldest item is at `head`, the others behind it, round the end. Its length is a power of two. */
  private ring = ringOf<T>(FIRST_CAPACITY);
  /** Where the oldest item is. */
  private head = 0;
  /** How many items there are. */
  private count = 0;

  get length(): number {
    return this.count;
  }

  push(item: T): void {
    if (this.count === this.ring.length) {
      this.grow();
    }
    this.ring[(this.head + this.count++) & (this.ring.length - 1)] = item;
  }

  peek(): T | undefined {
    return this.ring[this.head];
  }

  /** The item at a place, counted from the oldest. */
  at(place: number): T | undefined {
    return place >= 0 && place < this.count ? this.ring[(this.head + place) & (this.ring.length - 1)] : undefined;
  }

  /** The item that was added last. */
  last(): T | undefined {
    return this.at(this.count - 1);
  }

  shift(): T | undefined {
    if (this.count === 0) {
      return undefined;
    }
    const item = this.ring[this.head];
    this.ring[this.head] = undefined;
    this.head = (this.head + 1) & (this.ring.length - 1);
    if (--this.count === 0 && this.ring.length > KEPT_CAPACITY) {
      this.clear();
    }
    return item;
  }

  clear(): void {
    this.ring = ringOf(FIRST_CAPACITY);
    this.head = this.count = 0;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let place = 0; place < this.count; place++) {
      yield this.at(place) as T;
    }
  }

  /** Doubles the room. */
  private grow(): void {
    const { ring, head } = this;
    this.ring = ringOf(2 * ring.length);
    for (let place = 0; place < this.count; place++) {
      this.ring[place] = ring[(head + place) & (ring.length - 1)];
    }
    this.head = 0;
  }
}

function ringOf<T>(capacity: number): (T | undefined)[] {
  return new Array<T | undefined>(capacity).fill(undefined);
}
