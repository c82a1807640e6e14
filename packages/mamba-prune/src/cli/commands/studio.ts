import type { Command } from 'commander';
import { once } from 'node:events';
import { type Cli, action, addExamples } from '../context.js';
import { printableLine } from '../terminal/printable.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type DataOptions, addDataOptions } from '../options/data.js';
import { integerOption } from '../options/parse.js';
import { lastPort, loadReportPackage, usualPort } from '../../report-package.js';

interface StudioCommandOptions extends CommonOptions, DataOptions {
  readonly port: number;
}

export function addStudioCommand(program: Command, cli: Cli): void {
  const command = program
    .command('studio')
    .summary('show runs live in the browser, and try the models there')
    .description(
      'Serves a page about all runs below a folder, on this machine alone. It follows runs while they ' +
        'train, and shows new ones as they appear. Models that are finished can be tried in the page, ' +
        'dense and pruned side by side, on your own pictures and on test images. While there are no runs, the trained models of @mamba-prune/models can be ' +
        'tried, where that package is installed. Ctrl-C ends it.',
    )
    .argument('[DIR]', 'folder with runs, which may come later (default: runs)')
    .addOption(
      integerOption('--port <n>', 'port on 127.0.0.1 to serve the page at; 0 chooses a free one', {
        min: 0,
        max: lastPort,
      }).default(usualPort),
    );
  addDataOptions(command, 'the one that each model was trained on');
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['All runs below runs/', 'mamba-prune studio runs'],
    ['Trained models, without a run', 'npm install @mamba-prune/models\n  mamba-prune studio'],
    [
      'Runs of another machine, whose images lie elsewhere here',
      'mamba-prune studio runs --data data',
    ],
    ['On a port that is free', 'mamba-prune studio runs --port 0'],
  ]);
  action<StudioCommandOptions>(cli, command, async (context, folder?: string) => {
    const { startStudio } = await loadReportPackage();
    const { stopOnSignals } = await import('../../training/signals.js');
    const { port, dataset, data } = context.options;
    const studio = await startStudio({ folder, port, dataset, data });
    const stop = stopOnSignals(() => undefined);
    try {
      const shown = folder ?? 'runs';
      context.json({ url: studio.url, folder: shown });
      context.print(`${studio.url}  shows the runs below ${printableLine(shown)}. Ctrl-C ends it.`);
      if (!stop.signal.aborted) await once(stop.signal, 'abort');
    } finally {
      stop.dispose();
      await studio.close();
    }
  });
}
