// Of a model of which a command has no flags to say more: those it has are of another one.
import { Command } from 'commander';
import { programWords } from '../called-as.js';
import { UsageError } from '../errors.js';
import { relativePath, shellCommand } from '../shell.js';
import { inFlags } from './flag-spelling.js';
import { addImportOptions } from './options/import.js';

/**
 * @param flag - by which the model was given
 * @throws what it is given; of a file that leaves something open with where that can be said, in the flags of that command
 */
export const sayingWhere =
  (flag: string) =>
  async (error: unknown): Promise<never> => {
    const { UntoldModelError } = await import('../workflows/open-model-file.js');
    throw error instanceof UntoldModelError ? saidElsewhere(error, error.path, flag) : error;
  };

function saidElsewhere(error: Error, path: string, flag: string): UsageError {
  const written = 'described.safetensors';
  const words = ['export', relativePath(path), '--out', written];
  const command = shellCommand([...programWords(), ...words]);
  const message = inFlags(error.message, flagsOfExport());
  return new UsageError(
    `${message} ${flag} takes a file as it is: say this to '${command}', which writes the model with all that ` +
      `is said of it, and give ${flag} ${written}.`,
    { cause: error },
  );
}

function flagsOfExport(): string[] {
  const command = new Command();
  addImportOptions(command);
  return command.options.flatMap(({ long }) => long ?? []);
}
