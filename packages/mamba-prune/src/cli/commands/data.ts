import { type Command, Option } from 'commander';
import { datasetNames } from '../../data/datasets.js';
import type { VerifyReport } from '../../data/types.js';
import { DataError } from '../../data/errors.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { printableLine } from '../terminal/printable.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { checkDatasetName } from '../options/data.js';
import { shellCommand } from '../shell.js';
import { bytes, grouped, plural } from '../terminal/format.js';
import { interruptible } from '../work.js';

interface FolderOptions extends CommonOptions {
  readonly data?: string;
}

/** What `data list` says of each; the numbers are the official ones. */
const descriptions: Readonly<
  Record<ReturnType<typeof datasetNames>[number], readonly [what: string, from: string]>
> = {
  'fashion-mnist': ['70,000 grey images of 28 px, 10 classes', 'comes with the package'],
  cifar10: ['60,000 images of 32 px, 10 classes', 'data get cifar10'],
  cifar100: ['60,000 images of 32 px, 100 classes', 'data get cifar100'],
  'tiny-imagenet': ['110,000 images of 64 px, 200 classes', '--data DIR'],
  imagenet: ['train/class/*.jpg and val/class/*.jpg', '--data DIR'],
  folder: ['your own train/class/* and test/class/*', '--data DIR'],
};

export function addDataCommand(program: Command, cli: Cli): void {
  const data = program
    .command('data')
    .summary('list, download and check data sets')
    .description('Lists, downloads and checks data sets.');
  addExamples(data, [
    ['What there is', 'mamba-prune data list'],
    ['Download CIFAR-10 and check it', 'mamba-prune data get cifar10 --data data'],
  ]);
  addList(data, cli);
  addGet(data, cli);
  addVerify(data, cli);
}

function addList(data: Command, cli: Cli): void {
  const command = data
    .command('list')
    .summary('list the data sets')
    .description('Lists the data sets that train, prune and eval take.');
  addCommonOptions(command, { computes: false });
  addExamples(command, [['What there is', 'mamba-prune data list']]);
  action(cli, command, (context) => {
    const datasets = datasetNames().map((name) => {
      const [description, source] = descriptions[name];
      return { name, description, source };
    });
    context.json({ datasets });
    context.table(
      [{ title: 'name' }, { title: 'images', flexible: true }, { title: 'from' }],
      datasets.map(({ name, description, source }) => [name, description, source]),
    );
    return Promise.resolve();
  });
}

function addGet(data: Command, cli: Cli): void {
  const command = data
    .command('get')
    .summary('download a data set from its official address')
    .description(
      'Downloads a data set from its official address, checks it against the official checksum and ' +
        'unpacks it. A broken download continues where it stopped.',
    )
    .argument('<name>', 'cifar10 or cifar100')
    .addOption(new Option('--data <dir>', 'where to').default('data', 'data'));
  addCommonOptions(command, { computes: false });
  addExamples(command, [['CIFAR-10, into data/', 'mamba-prune data get cifar10 --data data']]);
  action<FolderOptions>(cli, command, async (context, name = '') => {
    checkDatasetName(name);
    const { progress, options } = context;
    const { downloadDataset } = await import('../../data/get-dataset.js');
    const mebi = 2 ** 20;
    const dir = options.data ?? 'data';
    const resume = shellCommand(['mamba-prune', 'data', 'get', name, '--data', dir]);
    const folder = await interruptible(context, (signal) =>
      downloadDataset(name, dir, {
        signal,
        onNote: (note) => {
          context.note(note);
        },
        onProgress: ({ received, total }) => {
          if (total !== undefined && !progress.busy) {
            progress.begin(name, total / mebi, 'MiB', received / mebi);
          }
          progress.update(received / mebi);
        },
      }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
        throw new InterruptedError((error as Error).message, resume);
      }),
    );
    context.json({ name, dir: folder });
    context.print(`${name} is in ${printableLine(folder)}`);
  });
}

function addVerify(data: Command, cli: Cli): void {
  const command = data
    .command('verify')
    .summary('check every file and image of a data set')
    .description('Checks a data set: files, sizes, counts per class, and every image.')
    .argument('<name>', 'a data set that data list names')
    .option('--data <dir>', 'its folder; fashion-mnist needs none');
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['The built-in data set', 'mamba-prune data verify fashion-mnist'],
    ['A download', 'mamba-prune data verify cifar10 --data data'],
  ]);
  action<FolderOptions>(cli, command, async (context, name = '') => {
    checkDatasetName(name);
    const { progress, options } = context;
    const { verifyDataset } = await import('../../data/datasets.js');
    const report = await verifyDataset(name, options.data, {
      onProgress: (done, total) => {
        if (!progress.busy) progress.begin('verify', total, 'img');
        progress.update(done);
      },
    });
    if (!report.ok) {
      progress.end();
      throw new DataError(
        `${name}: ${plural(report.problems.length, 'problem')}:\n` +
          report.problems.map((problem) => `  ${printableLine(problem)}`).join('\n'),
      );
    }
    context.json(report);
    printVerified(context, report);
  });
}

export function printVerified(
  context: Context,
  { name, dir, classes, counts, files, notes }: VerifyReport,
): void {
  const total = (values: readonly number[]): number => values.reduce((sum, n) => sum + n, 0);
  const range = (values: readonly number[]): string => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return `${grouped(total(values))} (${least === most ? grouped(least) : `${grouped(least)} to ${grouped(most)}`} per class)`;
  };
  context.title(`${name} is whole`);
  context.facts([
    ...(dir === undefined ? [] : [['folder', dir] as const]),
    ['classes', String(classes.length)],
    ['train', range(counts.train)],
    ['test', range(counts.test)],
    ...(files.length === 0
      ? []
      : [['files', `${files.length}, ${bytes(total(files.map((file) => file.bytes)))}`] as const]),
  ]);
  for (const note of notes) context.note(printableLine(note));
}
