import { FieldsInReply, type RawEntry } from '../../lib/redis/stream-reply.js';

/** The fields of an entry, names and values by turns, also if they lie in a reply. */
export function fieldsOf({ fields }: RawEntry): string[] {
  if (!(fields instanceof FieldsInReply)) {
    return fields.map(String);
  }
  const cursor = fields.cursor();
  return Array.from({ length: fields.count }, () => {
    cursor.next();
    return cursor.text();
  });
}
