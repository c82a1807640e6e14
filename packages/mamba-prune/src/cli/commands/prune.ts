import type { Command } from 'commander';
import { plural } from '../../format.js';
import { type Keep, releasing } from '../../releasing.js';
import { relativePath, resumeCommand } from '../../shell.js';
import type { TeacherFacts } from '../../workflows/opened-teacher.js';
import type { PruneRun } from '../../workflows/prune/run.js';
import type { PruneSettings } from '../../workflows/prune/settings.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { addCommonOptions } from '../options/common.js';
import { addCacheOption, addDataOptions } from '../options/data.js';
import { addImportOptions, modelArgument } from '../options/import.js';
import { type PruneCommandOptions, pruneDefaults, pruneSettingsOf } from '../options/prune.js';
import { addPruningOptions, addTeacherOptions } from '../options/pruning.js';
import { addRecipeOptions, recipeFromOption } from '../options/recipe.js';
import { addRunOptions, outOf } from '../options/run.js';
import { pruningHooks } from '../pruning-progress.js';
import { printPruningRun } from '../pruning-tables.js';
import { interruptible } from '../work.js';

export function addPruneCommand(program: Command, cli: Cli): void {
  const command = program
    .command('prune')
    .summary('remove channels, neurons or heads, then fine-tune')
    .description(
      'Removes the least important units of a model: channels of its SSMs or convolutions, neurons ' +
        'of its MLPs, attention heads. The result is a smaller model, not a masked one. With --epochs ' +
        'it is trained on after each cut, which a large cut needs. The images are those given, or those ' +
        'that the model was trained on where they are found on this machine: units are chosen by them, and ' +
        'the accuracy is measured before and after the cut. The folder of the run gets model.safetensors, ' +
        'config.json, and pruning.json, which names the units kept.',
    )
    .argument(
      '[MODEL|RUN]',
      `${modelArgument}; not needed to resume, unless it lies elsewhere now`,
    );
  addPruningOptions(command);
  addDataOptions(command, 'the one the model was trained on, if it is found');
  addCacheOption(command);
  addRecipeOptions(command, 'Fine-tuning after each cut:', pruneDefaults);
  command.addOption(recipeFromOption());
  addTeacherOptions(command);
  addImportOptions(command);
  addRunOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    [
      'Cut 70% of the SSM channels and MLP neurons away, and no more',
      'mamba-prune prune runs/a --rate 0.7 --out runs/a-cut',
    ],
    [
      'To three tenths of the multiply-accumulates, with the first block left whole',
      "mamba-prune prune runs/a --target-macs 0.3x --exclude 'blocks.0.*' \\\n" +
        '    --out runs/a-cut',
    ],
    [
      'By a rate, for a model that comes without its images',
      'mamba-prune prune model.safetensors --rate 0.7 --dataset folder \\\n' +
        '    --data photos --out runs/a-cut',
    ],
    [
      'Early, and then on for as long again by the recipe of the training before',
      'mamba-prune prune runs/a --rate 0.9 --recipe-from runs/a \\\n' + '    --out runs/a-small',
    ],
    [
      'In five rounds, a tenth of what was cut coming back in each',
      'mamba-prune prune runs/a --method refill --fillback 0.1 --rounds 5 \\\n' +
        '    --epochs 2 --out runs/a-refill',
    ],
    [
      'Drive the units to zero first, with the dense model as a teacher afterwards',
      'mamba-prune prune runs/a --method rsst --reg-units doomed \\\n' +
        '    --reg-norm group --reg-epochs 3 --epochs 2 --distill 0.5 --out runs/a-rsst',
    ],
    [
      'A rate for each group, by what its cut costs',
      'mamba-prune sensitivity runs/a --out runs/a/sensitivity.json\n' +
        '  mamba-prune prune runs/a --rates-from runs/a/sensitivity.json \\\n' +
        '    --rate 0.7 --out runs/a-cut',
    ],
    ['Go on after Ctrl-C', 'mamba-prune prune --resume --out runs/a-refill'],
  ]);
  action<PruneCommandOptions>(cli, command, async (context, argument?: string) => {
    await releasing((keep) => pruneCommand(context, argument, keep));
  });
}

async function pruneCommand(
  context: Context<PruneCommandOptions>,
  argument: string | undefined,
  keep: Keep,
): Promise<void> {
  const { options } = context;
  const out = outOf(options);
  const { settings, notes, opened } = await pruneSettingsOf(context, argument, keep);
  const { prepareDevice } = await import('../device.js');
  const { storedSettings } = await import('../../workflows/settings.js');
  const { pruneRun } = await import('../../workflows/prune/run.js');
  const onNote = (note: string): void => {
    context.note(note);
  };
  const device = prepareDevice(options, onNote);
  const { resume, restart, overwrite, dataThreads, tensorboard, autoBatch } = options;
  const run = await interruptible(context, (signal) =>
    pruneRun(
      settings,
      {
        out,
        resume,
        restart,
        overwrite,
        dataThreads,
        tensorboard,
        autoBatch,
        device,
        signal,
        args: context.argv,
        opened,
        data: { onNote },
      },
      pruningHooks(context),
    ),
  );
  keep(run.model);
  if (!run.finished) throw interrupted(run, resumeCommand('prune', out, context.given));
  const { assumedIn } = await import('../../workflows/same-info.js');
  const stored = storedSettings(run.path, 'prune');
  const assumed = assumedIn(run.info);
  const teacher = teacherOf(stored, { assumed, notes });
  const about = { settings: stored, device, teacher, assumed, notes };
  await printPruningRun(context, run, about, { data: stored.data });
}

/** The model that was pruned, where it teaches; `accuracy.before` is its accuracy. */
function teacherOf(
  { model, distill }: PruneSettings,
  read: Pick<TeacherFacts, 'assumed' | 'notes'>,
): TeacherFacts | null {
  if (!distill) return null;
  const { weight, temperature = 1 } = distill;
  return { model, weight, temperature, ...read };
}

export function interrupted({ result, record }: PruneRun, resume: string): InterruptedError {
  const { rounds, plannedRounds } = record;
  const current = rounds.filter(({ finished }) => finished).length + 1;
  const where =
    plannedRounds > 1 ? ` in round ${Math.min(current, plannedRounds)} of ${plannedRounds}` : '';
  return new InterruptedError(
    result && !result.finished
      ? `Stopped${where} after ${plural(result.steps, 'step')}; the checkpoint is ${relativePath(result.path)}.`
      : `Stopped${where} between two trainings; what was done is kept.`,
    resume,
  );
}
