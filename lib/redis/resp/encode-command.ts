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
  const last = out.at(-1);
  if (typeof last === 'string') {
    out[out.length - 1] = last + text;
  } else {
    out.push(text);
  }
}

/** A text as a bulk string, in a command or a reply. */
export function encodeText(arg: Extract<CommandArg, string>): string {
  return `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`;
}
