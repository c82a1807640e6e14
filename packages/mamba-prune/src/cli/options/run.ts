// The folder of a run, and how it goes on: flags that train and prune have in common.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { mostThreads } from '../../limits.js';
import { integerOption, numberOption } from './parse.js';

export interface RunOptions {
  readonly out?: string;
  readonly resume?: true | 'previous';
  readonly restart?: true;
  readonly overwrite?: true;
  readonly tensorboard?: true;
  readonly autoBatch?: true;
  readonly dataThreads: number;
}

export function addRunOptions(command: Command): void {
  command
    .optionsGroup('Run:')
    .option('--out <dir>', 'folder of the run, new or empty (required)')
    .addOption(
      new Option(
        '--resume [previous]',
        'go on from the last checkpoint, or from the one before it',
      ).argParser((text: string) => {
        if (text === 'previous') return text;
        throw new InvalidArgumentError("Expected nothing or 'previous'.");
      }),
    )
    .option(
      '--restart',
      command.name() === 'prune'
        ? "with --resume: start over if no checkpoint, or a round's model, can be read"
        : 'with --resume: start over if no checkpoint can be read',
    )
    .addOption(
      new Option(
        '--overwrite',
        'replace the run in --out; other files are never replaced',
      ).conflicts('resume'),
    )
    .option('--auto-batch', 'halve batch size and learning rate until a step fits into memory')
    .addOption(tensorboardOption('the run'))
    .addOption(
      numberOption(
        '--checkpoint-every <minutes>',
        'time between checkpoints within an epoch (default: 10)',
        {
          above: 0,
          max: 1e6,
        },
      ),
    )
    .addOption(dataThreadsOption('number of threads that prepare images'));
}

/** @param where - the files are written */
export const tensorboardOption = (where: string): Option =>
  new Option('--tensorboard', `write event files for TensorBoard into ${where} too`);

export const dataThreadsOption = (description: string): Option =>
  integerOption('--data-threads <n>', description, {
    min: 0,
    max: mostThreads,
  }).default(0, 'as --threads for images of folders, else 0');

/**
 * Not commander's requiredOption, which complains of a missing --out before it does of a mistyped
 * option.
 * @throws UsageError if there is no --out, or --restart without --resume
 */
export function outOf({ out, resume, restart }: RunOptions): string {
  if (restart === true && resume === undefined) {
    throw new UsageError(
      '--restart: belongs to --resume, of a run whose checkpoints are lost. Give both; or --overwrite for a new run.',
    );
  }
  if (out !== undefined) return out;
  throw new UsageError('--out is missing, expected the folder of the run, such as runs/a.');
}

/**
 * Before anything else is read, so that a mistake in a name costs no time.
 * @throws RunFolderError if there is something in the folder that a new run is to have
 */
export async function checkNew({ out, overwrite }: RunOptions): Promise<void> {
  const { RunFolder } = await import('../../training/run-folder.js');
  if (out !== undefined) RunFolder.checkNew(out, { overwrite });
}
