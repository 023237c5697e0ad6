/**
 * What distinguishes two applications on one Redis. Keys in different databases or with different prefixes never meet, but
 * PUB/SUB knows neither: a channel is the same in all databases, and clients put their key prefix before keys only. So
 * names of channels carry these themselves.
 */
export interface AppScope {
  /** Number of the database. */
  database: number;
  /** What the client puts before keys. */
  keyPrefix: string;
  streamName: string;
}

/** With these, all names are those of the reference adapter. */
export const REFERENCE_SCOPE: AppScope = { database: 0, keyPrefix: '', streamName: 'socket.io' };

/**
 * The part of a scope that differs from the reference's as text, such as `db=1&stream=chat`; '' if nothing does.
 * Two scopes never have the same text.
 */
export function scopeText(scope: Partial<AppScope>): string {
  const { database, keyPrefix, streamName } = { ...REFERENCE_SCOPE, ...scope };
  const parts = [
    ...(database === REFERENCE_SCOPE.database ? [] : [`db=${database}`]),
    ...(keyPrefix === REFERENCE_SCOPE.keyPrefix ? [] : [`prefix=${encode(keyPrefix)}`]),
    ...(streamName === REFERENCE_SCOPE.streamName ? [] : [`stream=${encode(streamName)}`]),
  ];
  return parts.join('&');
}

/** Escapes what separates parts of names, and braces, which would change the slot in a cluster. */
function encode(text: string): string {
  return text.replace(/[%&#:{}]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
