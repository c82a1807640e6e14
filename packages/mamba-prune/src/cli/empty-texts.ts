// Empty texts among flags and arguments: mostly a variable of a shell that is not set. As a path they would be the folder
// that the command runs in.
import type { Command } from 'commander';
import { UsageError } from '../errors.js';

/**
 * @param args - what was given for the arguments of the command, in their order
 * @throws UsageError naming the first
 */
export function refuseEmptyTexts(command: Command, args: readonly unknown[]): void {
  for (const option of command.options) {
    const name = option.attributeName();
    if (command.getOptionValueSource(name) !== 'cli') continue;
    if (hasEmpty(command.getOptionValue(name))) refuse(option.long ?? name, option.flags);
  }
  for (const [i, argument] of command.registeredArguments.entries()) {
    if (hasEmpty(args[i])) refuse(argument.name(), `${command.name()} ${argument.name()}`);
  }
}

/** Some flags and arguments are lists. */
const hasEmpty = (value: unknown): boolean => [value].flat().includes('');

function refuse(name: string, form: string): never {
  throw new UsageError(
    `${name}: got an empty text, expected a value, as in \`${form}\`. A variable of the shell may not be set.`,
  );
}
