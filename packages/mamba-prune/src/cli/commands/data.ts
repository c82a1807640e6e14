import { programWords } from '../../called-as.js';
import type { Command } from 'commander';
import {
  datasetDefinition,
  datasetDefinitions,
  downloadDataset,
  downloadFolder,
  verifyDataset,
} from '../../data/datasets.js';
import type { DatasetDefinition } from '../../data/definition.js';
import type { VerifyReport } from '../../data/types.js';
import { DataError } from '../../data/errors.js';
import { type Cli, type Context, action, addExamples } from '../context.js';
import { downloadHooks, interruptedDownload } from '../transfer-progress.js';
import { printableLine } from '../terminal/printable.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { checkDatasetName, needNone } from '../options/data.js';
import { listed } from '../options/parse.js';
import { shellCommand } from '../../shell.js';
import { bytes, grouped, plural } from '../../format.js';
import { interruptible } from '../work.js';

interface FolderOptions extends CommonOptions {
  readonly data?: string;
}

/** Where a data set comes from, as `data list` says it: a command or a flag. */
function sourceOf({ name, download, needsFolder = true }: DatasetDefinition): string {
  if (download !== undefined) return `data get ${name}`;
  return needsFolder ? '--data DIR' : 'needs no folder';
}

export function addDataCommand(program: Command, cli: Cli): void {
  const data = program
    .command('data')
    .summary('list, download and check data sets')
    .description('Lists, downloads and checks data sets.');
  addExamples(data, [
    ['What there is', 'mamba-prune data list'],
    ['Download CIFAR-10 and check it', 'mamba-prune data get cifar10 --data data'],
    ['Check images of your own', 'mamba-prune data verify folder --data photos'],
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
    const datasets = datasetDefinitions().map((definition) => {
      const { name, description } = definition;
      return { name, description, source: sourceOf(definition) };
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
  const downloads = datasetDefinitions().flatMap(({ name, download }) =>
    download === undefined ? [] : [{ name, ...download }],
  );
  const comingFrom = (source: string): string => {
    const names = downloads.filter(({ from }) => from === source).map(({ name }) => name);
    return `${names.join(' and ')} from ${source}`;
  };
  const cached = downloads.filter(({ getToCache }) => getToCache !== undefined);
  const command = data
    .command('get')
    .alias('download')
    .summary('download a data set from its official address')
    .description(
      'Downloads a data set, checks it against its checksum and unpacks it: ' +
        `${[...new Set(downloads.map(({ from }) => from))].map(comingFrom).join(', ')}. ` +
        'A broken download continues where it stopped.',
    )
    .argument('<name>', listed(downloads.map(({ name }) => name)))
    .option(
      '--data <dir>',
      `folder to unpack into (default: ${downloadFolder}` +
        `${cached.map(({ name }) => `; ${name} the cache, where it needs no --data`).join('')})`,
    );
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['CIFAR-10, into data/', 'mamba-prune data get cifar10 --data data'],
    ['Fashion-MNIST, for all commands', 'mamba-prune data get fashion-mnist'],
  ]);
  action<FolderOptions>(cli, command, async (context, name = '') => {
    checkDatasetName(name);
    const { progress, options } = context;
    // Without a folder it goes where every command finds it.
    const isCached = datasetDefinition(name).download?.getToCache !== undefined;
    const dir = options.data ?? (isCached ? undefined : downloadFolder);
    const given = dir === undefined ? [] : ['--data', dir];
    const resume = shellCommand([...programWords(), 'data', 'get', name, ...given]);
    const path = await interruptible(context, (signal) =>
      interruptedDownload(signal, resume, async () => {
        const hooks = { signal, ...downloadHooks(context, name) };
        return downloadDataset(name, dir, hooks);
      }),
    );
    progress.end();
    context.json({ name, dir: path });
    context.print(`${name} is in ${printableLine(path)}`);
  });
}

function addVerify(data: Command, cli: Cli): void {
  const command = data
    .command('verify')
    .summary('check every file and image of a data set')
    .description('Checks a data set: files, sizes, counts per class, and every image.')
    .argument('<name>', 'a data set that data list names')
    .option('--data <dir>', `folder of the data set; ${needNone()}`);
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['A download', 'mamba-prune data verify cifar10 --data data'],
    ['Images of your own', 'mamba-prune data verify folder --data photos'],
  ]);
  action<FolderOptions>(cli, command, async (context, name = '') => {
    checkDatasetName(name);
    const { progress, options } = context;
    const report = await verifyDataset(name, options.data, {
      onProgress: (done, total) => {
        if (!progress.busy) progress.begin('verify', total, 'img');
        progress.update(done);
      },
    });
    if (!report.ok) {
      progress.end();
      for (const note of report.notes) context.note(note);
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
  // Of the others the numbers are known; a folder's classes are what the user made them.
  if (files.length === 0) {
    context.print();
    context.table(
      [
        { title: 'class', flexible: true },
        { title: 'train', align: 'right' },
        { title: 'test', align: 'right' },
      ],
      classes.map((title, i) => [
        title,
        grouped(counts.train[i] ?? 0),
        grouped(counts.test[i] ?? 0),
      ]),
    );
  }
  for (const note of notes) context.note(note);
}
