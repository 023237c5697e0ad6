/** Where log lines go. Nest's `Logger` and `console` are of this kind. */
export interface RedisStreamsLogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
