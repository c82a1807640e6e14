// Flags of other commands that someone may try here: what to do in place of each is said where commander knows it not.
import type { Command } from 'commander';

/** By flags with their dashes; each goes on the sentence that there is no such option. */
export type LeftOutFlags = Readonly<Record<string, string>>;

const leftOutOf = new WeakMap<Command, LeftOutFlags>();

/** Has the command say of flags that it does not take what is there in place of them. */
export function leaveOut(command: Command, flags: LeftOutFlags): void {
  leftOutOf.set(command, flags);
}

const unknownOption = /unknown option '(--[^'=]+)(?:=[^']*)?'[^]*/;

/** The message of commander, with what is known of the flag in place of a guess at what was meant. */
export function withLeftOut(command: Command, message: string): string {
  const flags = leftOutOf.get(command) ?? {};
  return message.replace(unknownOption, (said, flag: string) =>
    Object.hasOwn(flags, flag) ? `unknown option '${flag}': ${flags[flag] ?? ''}` : said,
  );
}
