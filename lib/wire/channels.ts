import { scopeText, type AppScope } from './app-scope.js';

/**
 * The names of the PUB/SUB channels of one application.
 *
 * | channel                             | carries                                                  |
 * | ----------------------------------- | -------------------------------------------------------- |
 * | `<prefix>#<namespace>#`             | requests and volatile broadcasts to all servers          |
 * | `<prefix>#<namespace>#<uid>#`       | responses to one server                                  |
 * | `<prefix>#heartbeat#<stream name>#` | control messages between nodes: see `control.ts`         |
 *
 * The first two are those of the reference adapter; there, the prefix is `channelPrefix`. Here the scope of the application
 * follows it, if that is not the reference's: `socket.io#db=1&stream=chat`.
 */
export class ChannelNames {
  /** Of control messages. A namespace begins with a slash, so none has a channel of this name. */
  readonly control: string;
  private readonly prefix: string;

  /** @param scope - what is to be part of the names */
  constructor(channelPrefix: string, streamName: string, scope: Partial<AppScope>) {
    const text = scopeText(scope);
    this.prefix = text === '' ? channelPrefix : `${channelPrefix}#${text}`;
    this.control = `${this.prefix}#heartbeat#${streamName}#`;
  }

  /** To all servers that have a namespace. */
  requests(nsp: string): string {
    return `${this.prefix}#${nsp}#`;
  }

  /** To one server. */
  responses(nsp: string, uid: string): string {
    return `${this.prefix}#${nsp}#${uid}#`;
  }
}
