/** The most entries and about the most bytes that one read asks for, when the reader is behind. */
const MAX_READ_COUNT = 4_096;
const MAX_READ_BYTES = 8 * 1024 * 1024;
/** About what an entry takes beside its data; also what one is taken to need before any was read. */
const ENTRY_OVERHEAD_BYTES = 256;

/** How many entries the next read asks for: twice as many after each that was full, as far as their size allows. */
export class ReadSize {
  /** By how much more than `usual` is asked for. */
  private growth = 1;
  /** What an entry of the last read took, on average. */
  private averageBytes = ENTRY_OVERHEAD_BYTES;

  /** @param usual - how many entries a read asks for when the reader is not behind */
  constructor(private readonly usual: number) {}

  get count(): number {
    const affordable = Math.max(this.usual, Math.floor(MAX_READ_BYTES / this.averageBytes));
    return Math.max(1, Math.min(this.usual * this.growth, MAX_READ_COUNT, affordable));
  }

  /** @param isFull - whether a read has brought as many entries as it had asked for */
  onRead(isFull: boolean): void {
    this.growth = isFull ? Math.min(this.growth * 2, MAX_READ_COUNT) : Math.max(1, this.growth / 2);
  }

  /** @param dataLength - of the data of all the `count` entries that a read has brought, at least one */
  onEntries(count: number, dataLength: number): void {
    this.averageBytes = ENTRY_OVERHEAD_BYTES + dataLength / count;
  }

  /** Reading begins elsewhere. */
  reset(): void {
    this.growth = 1;
  }
}
