import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import type { Command } from '../../lib/redis/driver.js';
import type { RawReply } from '../../lib/redis/resp/raw-reply.js';
import { RespPipe, type ByteStream, type TransactionOutcome } from '../../lib/redis/resp/resp-pipe.js';

/** A socket of which the test writes what the server sends. */
class Stream implements ByteStream {
  /** What left in one go: between `cork` and `uncork`, or with one write. */
  readonly writes: string[] = [];
  private corked: string[] | undefined;
  private listeners: ((piece: Buffer) => void)[] = [];

  write(data: string | Buffer): void {
    (this.corked ?? this.writes).push(data.toString());
  }

  cork(): void {
    this.corked = [];
  }

  uncork(): void {
    this.writes.push(this.corked!.join(''));
    this.corked = undefined;
  }

  on(_event: 'data', listener: (piece: Buffer) => void): void {
    this.listeners.push(listener);
  }

  removeAllListeners(): void {
    this.listeners = [];
  }

  receive(bytes: string | Buffer): void {
    this.listeners.forEach((listener) => listener(Buffer.from(bytes as string)));
  }
}

function piped(): { stream: Stream; pipe: RespPipe; broken: string[] } {
  const stream = new Stream();
  const broken: string[] = [];
  return { stream, broken, pipe: new RespPipe(stream, (error) => broken.push(error.message)) };
}

const sent = (command: Command): string =>
  `*${command.length}\r\n${command.map((word) => `$${Buffer.byteLength(word)}\r\n${word.toString()}\r\n`).join('')}`;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

/** A command, the bytes of all its replies, and what its promise then says. */
interface Exchange {
  run: (pipe: RespPipe) => Promise<unknown>;
  commands: Command[];
  replies: string;
  outcome: unknown;
}

const text = fc.oneof(fc.string(), fc.constantFrom('', '\r\n', '☃', '-ERR'));
const word = fc.stringMatching(/^[A-Z]{3,9} [a-z ]{0,9}$/);

const exchange: fc.Arbitrary<Exchange> = fc.oneof(
  text.map((value) => ({
    run: (pipe: RespPipe) => pipe.call(['GET', value]),
    ...{ commands: [['GET', value]], replies: bulk(value), outcome: value },
  })),
  word.map((error) => ({
    run: (pipe: RespPipe) => pipe.call(['SET', 'k']),
    ...{ commands: [['SET', 'k']], replies: `-${error}\r\n`, outcome: { rejected: new Error(error) } },
  })),
  fc.array(text).map((values) => ({
    run: async (pipe: RespPipe) => ((await pipe.read(['XRANGE'])) as RawReply).cursor().decode(false),
    ...{ commands: [['XRANGE']], replies: `*${values.length}\r\n${values.map(bulk).join('')}`, outcome: values },
  })),
  fc.constantFrom('$-1\r\n', '*-1\r\n', '_\r\n').map((replies) => ({
    run: (pipe: RespPipe) => pipe.read(['XREAD']),
    ...{ commands: [['XREAD']], replies, outcome: null },
  })),
  fc.tuple(word, fc.boolean()).map(([error, isBulk]) => ({
    run: (pipe: RespPipe) => pipe.read(['XREAD']),
    ...{ commands: [['XREAD']], replies: isBulk ? `!${bulk(error).slice(1)}` : `-${error}\r\n` },
    outcome: { rejected: new Error(error) },
  })),
  fc.tuple(fc.array(fc.option(word), { maxLength: 4 }), fc.boolean()).map(([errors, asking]) => {
    const commands = errors.map((_error, i) => ['INCR', String(i)]);
    const queued = errors.map((error) => (error === null ? '+QUEUED\r\n' : `-${error}\r\n`));
    const cause = errors.find((error) => error !== null);
    const exec = cause === undefined ? errors.map((_error, i) => i) : new Error('EXECABORT');
    return {
      run: (pipe: RespPipe) => pipe.transaction(commands, asking),
      commands: [...(asking ? [['ASKING']] : []), ['MULTI'], ...commands, ['EXEC']],
      replies:
        (asking ? '+OK\r\n' : '') +
        `+OK\r\n${queued.join('')}` +
        (Array.isArray(exec) ? `*${exec.length}\r\n${exec.map((n) => `:${n}\r\n`).join('')}` : '-EXECABORT\r\n'),
      outcome: cause === undefined ? { exec } : { exec, cause: new Error(cause) },
    };
  }),
);

describe('RespPipe', () => {
  test('gives each command its own replies, whatever was asked and however they are cut into pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(exchange, { maxLength: 12 }), fc.array(fc.nat({ max: 40 })), async (all, lengths) => {
        const { stream, pipe } = piped();
        const outcomes = all.map(({ run }) => run(pipe).catch((error: Error) => ({ rejected: error })));
        await turn();
        expect(stream.writes.join('')).toBe(all.flatMap(({ commands }) => commands.map(sent)).join(''));
        const bytes = Buffer.from(all.map(({ replies }) => replies).join(''));
        let at = 0;
        for (const length of [...lengths, bytes.length]) {
          stream.receive(bytes.subarray(at, at + length));
          at += length;
        }
        expect(await Promise.all(outcomes)).toEqual(all.map(({ outcome }) => outcome));
      }),
      { numRuns: 300 },
    );
  });

  test('takes the socket over: who listened to it hears nothing more', async () => {
    const stream = new Stream();
    const library = jest.fn();
    stream.on('data', library);
    const pipe = new RespPipe(stream, () => undefined);
    const pong = pipe.call(['PING']);
    stream.receive('+PONG\r\n');
    expect(await pong).toBe('PONG');
    expect(library).not.toHaveBeenCalled();
  });

  test('writes the commands of one turn in one go, bytes as they are', async () => {
    const { stream, pipe } = piped();
    void pipe.call(['PUBLISH', 'c', Buffer.from('bytes')]);
    void pipe.read(['GET', 'k']);
    void pipe.transaction([['DEL', 'k']], false);
    expect(stream.writes).toEqual([]);
    await turn();
    const commands = [['PUBLISH', 'c', 'bytes'], ['GET', 'k'], ['MULTI'], ['DEL', 'k'], ['EXEC']];
    expect(stream.writes).toEqual([commands.map(sent).join('')]);
    void pipe.call(['PING']);
    await turn();
    expect(stream.writes.slice(1)).toEqual([sent(['PING'])]);
  });

  test('calls back with an error only after the replies that came with it, and with these at once', async () => {
    const { stream, pipe, broken } = piped();
    const called: unknown[] = [];
    const onReply = (reply: unknown): void => void called.push(reply);
    const onError = ({ message }: Error): void => void called.push(message);
    pipe.exchange(['SET', 'k', 'v'], onReply, onError);
    pipe.exchangeRead(['XREAD'], onReply, onError);
    pipe.exchange(['GET', 'k'], onReply, onError);
    pipe.exchangeRead(['XREAD'], onReply, onError);
    stream.receive(`-READONLY\r\n-NOPERM\r\n${bulk('v')}_\r\n`);
    expect(called).toEqual(['v', null]);
    await turn();
    expect(called).toEqual(['v', null, 'READONLY', 'NOPERM']);
    expect(broken).toEqual([]);
  });

  test('passes over what nobody has asked for', async () => {
    const { stream, pipe } = piped();
    stream.receive('+OK\r\n');
    const got = pipe.call(['GET', 'k']);
    stream.receive(`>2\r\n+invalidate\r\n*1\r\n+k\r\n${bulk('v')}`);
    expect(await got).toBe('v');
  });

  test('says that MULTI was refused, and what the commands after it were refused with', async () => {
    const { stream, pipe } = piped();
    const outcome = pipe.transaction([['SET', 'a', '1']], true);
    stream.receive('+OK\r\n-NOPERM multi\r\n+OK\r\n-ERR EXEC without MULTI\r\n');
    const refusal = new Error('NOPERM multi');
    expect(await outcome).toEqual({
      ...{ multiRefused: refusal, cause: refusal, exec: new Error('ERR EXEC without MULTI') },
    });
    const asked = pipe.transaction([], true);
    stream.receive('-ERR unknown command\r\n+OK\r\n*0\r\n');
    expect(await asked).toEqual({ cause: new Error('ERR unknown command'), exec: [] }); // ASKING, not MULTI
  });

  test('does not wait for the other replies of a transaction that broke the protocol', async () => {
    const { stream, pipe } = piped();
    const outcome: Promise<TransactionOutcome> = pipe.transaction([['SET', 'a', 'large']], false);
    const error = new Error('ERR Protocol error: invalid bulk length');
    stream.receive(`+OK\r\n-${error.message}\r\n`);
    expect(await outcome).toEqual({ cause: error, exec: undefined });
  });

  test('reports what is not RESP', () => {
    const { stream, broken } = piped();
    stream.receive('HTTP/1.1 400 Bad Request\r\n\r\n');
    expect(broken).toEqual(['Redis sent something that is not RESP: a value that begins with the byte 72']);
  });
});
