import type { Command, CommandArg } from '../driver.js';

/** A command as it goes over the socket: text, and bytes between it where an argument was bytes. */
export type EncodedCommands = (string | Buffer)[];

/** Appends a command to what is to be sent. */
export function encodeCommand(command: Command, out: EncodedCommands): void {
  let text = `*${command.length}\r\n`;
  for (const arg of command) {
    if (typeof arg === 'string') {
      text += encodeText(arg);
    } else {
      out.push(`${text}$${arg.length}\r\n`, arg);
      text = '\r\n';
    }
  }
  appendText(text, out);
}

/** Appends text to what is to be sent. */
export function appendText(text: string, out: EncodedCommands): void {
  const last = out.at(-1);
  if (typeof last === 'string') {
    out[out.length - 1] = last + text;
  } else {
    out.push(text);
  }
}

/** Encodes commands that are mostly like the one before, but for their last argument: the text of the others is made once. */
export class RecurringCommand {
  /** The arguments of the last command but for its last one. */
  private args: readonly string[] = [];
  /** Their text. */
  private text = '';

  /** Returns undefined if not all arguments are text. */
  encode(command: Command): string | undefined {
    const last = command[command.length - 1];
    if (typeof last !== 'string') {
      return undefined;
    }
    if (!this.beginsAsBefore(command)) {
      const args = command.slice(0, -1);
      if (!args.every((arg) => typeof arg === 'string')) {
        return undefined;
      }
      this.args = args;
      // Joined, it lies in one piece: what ends differently each time need not be put together from the beginning.
      this.text = [`*${command.length}\r\n`, ...args.map(encodeText)].join('');
    }
    return this.text + encodeText(last);
  }

  private beginsAsBefore(command: Command): boolean {
    const { args } = this;
    if (args.length !== command.length - 1) {
      return false;
    }
    for (let i = 0; i < args.length; i++) {
      if (args[i] !== command[i]) {
        return false;
      }
    }
    return args.length > 0;
  }
}

/** A text as a bulk string, in a command or a reply. */
export function encodeText(arg: Extract<CommandArg, string>): string {
  return `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`;
}
