import type { Command } from 'commander';
import { UsageError } from '../../errors.js';
import { trainLimits } from '../../limits.js';
import { type Cli, action, addExamples } from '../context.js';
import { printableLine } from '../terminal/printable.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type DataOptions, addDataOptions } from '../options/data.js';
import { integerOption, integersOption } from '../options/parse.js';
import { loadReportPackage, usualImages } from '../../report-package.js';
import { relativePath } from '../../shell.js';
import { bytes, plural } from '../../format.js';
import { interruptible } from '../work.js';

interface ReportCommandOptions extends CommonOptions, DataOptions {
  readonly out?: string;
  readonly images: number;
  readonly bench?: readonly number[] | true;
  readonly withModels?: true;
}

/** @throws UsageError for flags of images where none are shown */
function checkShowsImages({ images, dataset, data, withModels }: ReportCommandOptions): void {
  if (images > 0 || withModels === true || (dataset ?? data) === undefined) return;
  throw new UsageError(
    `got ${dataset === undefined ? '--data' : '--dataset'} with --images 0, which shows no images. Leave one of them out; ` +
      'with --with-models there are images to try.',
  );
}

export function addReportCommand(program: Command, cli: Cli): void {
  const command = program
    .command('report')
    .summary('write a page about runs: curves, widths, trade-off, images')
    .description(
      'Writes one HTML file about runs and comparisons: curves of the training, the width of every ' +
        'group before and after each cut, scores and threshold, accuracy against MACs, parameters and ' +
        'latency, confusion matrices, images that dense and pruned models see differently, and the ' +
        'commands that repeat the runs. The file needs no network and no server.',
    )
    .argument(
      '<RUN...>',
      'folders of runs or comparisons, folders that hold some, or files that sensitivity wrote',
    )
    .option(
      '--out <file>',
      'file to write (default: report.html in the folder, or here if there are several)',
    )
    .addOption(
      integerOption('--images <n>', 'number of test images to show every model; 0 for none', {
        min: 0,
        max: trainLimits.images,
      }).default(usualImages),
    )
    .addOption(
      integersOption(
        '--bench [sizes]',
        'time the models too, at these batch sizes (1,64 if none are given)',
        {
          min: 1,
          max: trainLimits.batchSize,
        },
      ),
    )
    .option(
      '--with-models',
      'put the models into the page, so that they can be tried there without a server',
    );
  addDataOptions(command, 'the one the runs were trained on');
  addCommonOptions(command);
  addExamples(command, [
    ['Everything below a folder', 'mamba-prune report runs/quickstart'],
    [
      'Three runs, with latencies, and models that run in the page',
      'mamba-prune report runs/dense runs/refill runs/rsst --bench \\\n' +
        '    --with-models --out report.html',
    ],
  ]);
  action<ReportCommandOptions>(cli, command, async (context, ...args) => {
    const { options, progress } = context;
    const { out, images, dataset, data, bench, withModels = false } = options;
    checkShowsImages(options);
    const { writeReport } = await loadReportPackage();
    const { prepareDevice } = await import('../device.js');
    const onNote = (note: string): void => {
      context.note(note);
    };
    let chosen: string | undefined;
    const device = (): string => (chosen ??= prepareDevice(options, onNote));
    // A GPU that is not there is told of whatever there is to run.
    if (options.device.startsWith('cuda')) device();
    let current = '';
    const result = await interruptible(context, (signal) =>
      writeReport(
        {
          paths: args.flat(),
          out,
          images,
          dataset,
          data,
          withModels,
          device,
          signal,
          benchBatches: bench === true ? [1, 64] : bench,
        },
        {
          onNote,
          onProgress: (what, done, total) => {
            if (what !== current) progress.begin(what, total, labels[what] ?? '');
            current = what;
            progress.update(done);
          },
        },
      ),
    );
    context.json(result);
    const { runs, comparisons } = result;
    const compared =
      comparisons.length > 0 ? ` and ${plural(comparisons.length, 'comparison')}` : '';
    context.print(
      `${printableLine(relativePath(result.path))}  ${bytes(result.bytes)}, ${plural(runs.length, 'run')}${compared}`,
    );
  });
}

/** Of what the progress counts. */
const labels: Readonly<Record<string, string>> = { images: 'models', bench: 'rounds' };
