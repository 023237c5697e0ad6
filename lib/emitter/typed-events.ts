/** Any event, with any arguments. */
export interface DefaultEventsMap {
  [event: string]: (...args: unknown[]) => void;
}

/**
 * The names of a map of events: an interface whose methods take the events' arguments, as Socket.IO has them. Any name, if
 * the map names none, as where `app.get(RedisStreamsEmitter)` is written.
 */
export type EventNames<Events extends object> = [keyof Events] extends [never] ? string : keyof Events & string;

/** The arguments of an event, without the function that would take an acknowledgement: an emitter gets none. */
export type EventArgs<Events extends object, Event extends string> = Event extends keyof Events
  ? Events[Event] extends (...args: infer Args) => unknown
    ? Args extends [...infer Rest, (...args: never[]) => unknown]
      ? Rest
      : Args
    : unknown[]
  : unknown[];
