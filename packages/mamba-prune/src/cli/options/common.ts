// What every command takes: where and how it computes, and for whom it prints.
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  type InferencePrecision,
  type Precision,
  inferencePrecisionNames,
  precisionNames,
} from '../../precision.js';
import { mostThreads } from '../../limits.js';
import { choiceOption, integerOption } from './parse.js';

export interface CommonOptions {
  readonly json?: true;
  readonly device: string;
  /** What was typed; int8 only where `CommonSettings.infers`. */
  readonly precision?: InferencePrecision;
  readonly seed: number;
  readonly threads?: number;
  /** Loaded before the command line was read: see plugin-flags.ts. */
  readonly plugin?: readonly string[];
}

/** What commands that also train are given. */
export interface TrainingOptions extends CommonOptions {
  readonly precision?: Precision;
}

export interface CommonSettings {
  /** For commands that only run models forward. */
  readonly infers?: boolean;
  /** For commands that compute nothing: the options are taken but not listed. */
  readonly computes?: boolean;
}

const deviceForm = /^(auto|cpu|cuda(:\d+)?)$/;

export function addCommonOptions(
  command: Command,
  { computes = true, infers = false }: CommonSettings = {},
): void {
  const device = new Option('--device <name>', 'device to compute on: auto, cpu, cuda or cuda:N')
    .default('auto', 'auto')
    .argParser((text: string) => {
      if (deviceForm.test(text)) return text;
      throw new InvalidArgumentError('Expected auto, cpu, cuda or cuda:N.');
    });
  const precision = choiceOption(
    '--precision <name>',
    infers ? 'number format to compute in; int8 on a CPU only' : 'number format to compute in',
    infers ? inferencePrecisionNames : precisionNames,
    'auto, bf16 on a GPU that has it',
  );
  const seed = integerOption('--seed <n>', 'seed of all random choices', {
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
  }).default(0);
  const threads = integerOption('--threads <n>', 'number of CPU threads (default: all cores)', {
    min: 1,
    max: mostThreads,
  });
  command.optionsGroup('General:');
  for (const option of [device, precision, seed, threads]) {
    command.addOption(option.hideHelp(!computes));
  }
  command.addOption(
    new Option(
      '--plugin <module>',
      'file or package that registers a model family, data set or importance (repeatable)',
    ).argParser((name: string, earlier: readonly string[] | undefined) => [
      ...(earlier ?? []),
      name,
    ]),
  );
  command.option('--json', 'print one JSON object on stdout, and progress on stderr');
  command.helpOption('-h, --help', 'show this help');
}
