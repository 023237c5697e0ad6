import { RespCursor } from './resp-cursor.js';

/** The bytes of a reply, complete and not looked at. */
export class RawReply {
  constructor(
    readonly bytes: Buffer,
    readonly start: number,
  ) {}

  cursor(): RespCursor {
    return new RespCursor(this.bytes, this.start);
  }
}
