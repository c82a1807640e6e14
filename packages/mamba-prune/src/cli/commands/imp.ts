import { programWords } from '../../called-as.js';
import { join } from 'node:path';
import type { Command } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { familyOf, modelNames } from '../../models/families.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ImportOptions } from '../../models/import/model.js';
import { isPublishedName } from '../../hub-names.js';
import { publishedNamed } from '../../models/published.js';
import type { ImpRun } from '../../workflows/imp.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { type PlannedImp, checkOneFile, planImp } from '../imp-plan.js';
import { inFlags } from '../flag-spelling.js';
import { findModel } from '../model-argument.js';
import { type ModelFacts, sayAssumptions } from '../open-model.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { describeDataset } from '../options/data.js';
import { type NamedGroup, rateOfGroups } from '../../pruning/group-patterns.js';
import { type ImpFlags, addImpOptions } from '../options/imp.js';
import { pretrainedFlag, pretrainedOf, scriptArchitectures } from '../options/imp-script.js';
import { budgetWords } from '../budget-table.js';
import { pruningHooks } from '../pruning-progress.js';
import { impFlags } from '../pruning-remarks.js';
import { printPruningRun } from '../pruning-tables.js';
import { relativePath, shellCommand } from '../../shell.js';
import { count, percent, plural } from '../../format.js';
import { columnsOf } from '../terminal/io.js';
import { wrapText } from '../terminal/text.js';
import { TrainingProgress } from '../training-progress.js';
import { interruptible } from '../work.js';
import { interrupted } from './prune.js';

type ImpCommandOptions = CommonOptions & ImpFlags;

export function addImpCommand(program: Command, cli: Cli): void {
  const command = program
    .command('imp')
    .summary("train and prune in rounds, with the original script's flags")
    .description(
      'Iterative pruning with the flags of main_imp_fillback.py, so that its launch scripts run with ' +
        'only the command changed: trains a dense model into runs/NAME/dense (state 0), then prunes it ' +
        'in --pruning_times rounds into runs/NAME, each round removing its part of --rate and training ' +
        'for --epochs.',
    );
  addImpOptions(command, [...modelNames(), ...Object.keys(scriptArchitectures)]);
  addCommonOptions(command);
  addExamples(command, [
    [
      'Refill',
      'mamba-prune imp --arch mamba_small --dataset cifar10 \\\n' +
        '    --data datasets/cifar10 --mamba_structured --rate 0.7 \\\n' +
        '    --pruning_times 16 --epochs 60 --fillback_rate 0.0 \\\n' +
        '    --exp_name mamba_small_refill_70p',
    ],
    [
      'RSST: any of its flags means it',
      'mamba-prune imp --arch mamba_small --dataset cifar10 \\\n' +
        '    --data datasets/cifar10 --mamba_structured --rate 0.7 \\\n' +
        '    --pruning_times 16 --epochs 60 \\\n' +
        '    --RST_schedule exp_custom_exponents --exponents 4 --exp_name rsst_70p',
    ],
    ['What a script would do', 'sh run_mamba_small_rsst.sh --print_plan'],
  ]);
  action<ImpCommandOptions>(cli, command, async (context) => {
    const { options, io } = context;
    if (options.restart === true && options.resume === undefined) {
      throw new UsageError('--restart: belongs to --resume, of a run whose checkpoints are lost.');
    }
    const plan = await withGroups(context, await planImp(await withFiles(context), options.seed));
    if (options.print_plan === true) {
      const { decideImportance } = await import('../../workflows/prune/importance-choice.js');
      const decided = { ...plan, prune: decideImportance(plan.prune, familyOf(plan.arch)) };
      io.stdout.write(`${JSON.stringify(decided, null, 2)}\n`);
      return;
    }
    for (const note of plan.notes) context.note(note);
    const { run, device, facts } = await work(context, plan);
    const { finished, dense, pruned } = run;
    // Its configuration is all that is still looked at.
    pruned?.model.dispose();
    const again = shellCommand([...programWords(), ...withResume(context.argv)]);
    if (!pruned) {
      const where = relativePath(join(plan.out, 'dense'));
      throw new InterruptedError(
        `Stopped in the dense training after ${plural(dense?.steps ?? 0, 'step')}; its run is ${where}.`,
        again,
      );
    }
    if (!finished) throw interrupted(pruned, again);
    const { assumed = [], notes = [] } = facts ?? {};
    const about = { plan, device, dense: dense ?? null, assumed, notes };
    await printPruningRun(context, pruned, about, { flags: impFlags });
  });
}

/** With paths in place of runs, hf:owner/name, pretrained:NAME and models:NAME. */
async function withFiles(context: Context<ImpCommandOptions>): Promise<ImpFlags> {
  const { given } = context;
  const pretrained = pretrainedOf(given);
  const { init } = given;
  if (given.mamba_pretrained === true || given.vit_pretrained === true) {
    const what = isPublishedName(pretrained ?? '')
      ? 'the published weights of this architecture'
      : 'which is of this architecture and data';
    context.note(`The dense model is ${pretrained ?? ''}, ${what}.`);
  }
  checkOneFile(init, pretrained);
  return {
    ...defined({ ...given, mamba_pretrained: undefined, vit_pretrained: undefined }),
    ...(pretrained !== undefined && {
      pretrained: await found(context, pretrained, pretrainedFlag(given)),
    }),
    ...(init !== undefined && { init: await found(context, init, '--init') }),
  };
}

/** With the rates of single groups: their names are those of the model, which may be still to be trained. */
async function withGroups(
  context: Context<ImpCommandOptions>,
  plan: PlannedImp,
): Promise<PlannedImp> {
  const { exclude, rate_of: rateOf } = context.given;
  if (exclude === undefined && rateOf === undefined) return plan;
  const groups = await groupsOf(plan);
  const kinds = Object.keys(plan.prune.rates);
  const own = rateOfGroups(
    { exclude, rateOf },
    groups,
    kinds,
    '--mamba_prune_target or --vit_prune_target',
  );
  return { ...plan, prune: { ...plan.prune, ...defined({ rateOf: own }) } };
}

async function groupsOf({
  arch,
  model: options,
  dense,
  prune,
  out,
}: PlannedImp): Promise<NamedGroup[]> {
  // A run that has begun needs the dense model no more.
  const { readPruningRecord } = await import('../../workflows/prune/record.js');
  const begun = readPruningRecord(out);
  if (begun) return Object.entries(begun.kinds).map(([name, kind]) => ({ name, kind }));
  const model = dense
    ? (await import('../../models/registry.js')).createModel(arch, {
        ...options,
        ...defined({ imageSize: dense.imageSize }),
      })
    : await denseModel(prune, { arch, ...options });
  try {
    return model.pruningGroups().map(({ name, kind }) => ({ name, kind }));
  } finally {
    model.dispose();
  }
}

async function denseModel(
  { model: path, import: said }: PlannedImp['prune'],
  options: ImportOptions,
): Promise<ImageModel> {
  const { openModelFile } = await import('../../workflows/open-model-file.js');
  const { model } = await openModelFile(path, { ...said, ...options });
  return model;
}

/** A plan alone downloads nothing of published weights: it has their name until the cache has them. */
async function found(
  context: Context<ImpCommandOptions>,
  argument: string,
  flag: string,
): Promise<string> {
  if (context.options.print_plan !== true || !isPublishedName(argument)) {
    return findModel(context, argument, { flag });
  }
  const { cachedPublished } = await import('../../hub/fetch-published.js');
  return cachedPublished(publishedNamed(argument)) ?? argument;
}

async function work(
  context: Context<ImpCommandOptions>,
  plan: PlannedImp,
): Promise<{ run: ImpRun; device: string; facts: ModelFacts | undefined }> {
  const { options, progress } = context;
  const { prepareDevice } = await import('../device.js');
  const { impRun } = await import('../../workflows/imp.js');
  const { bold, dim } = progress.colours;
  const onNote = (note: string): void => {
    context.note(note);
  };
  const device = prepareDevice(onGpu(context), onNote);
  let facts: ModelFacts | undefined;
  const run = await interruptible(context, (signal) =>
    impRun(
      { arch: plan.arch, model: plan.model, dense: plan.dense, prune: plan.prune },
      {
        out: plan.out,
        resume: options.resume,
        restart: options.restart,
        dataThreads: options.workers,
        tensorboard: options.tensorboard,
        device,
        signal,
        args: context.argv,
        data: { onNote },
      },
      {
        onDense: ({ recipe }) => {
          progress.line(bold(`State 0: dense training, ${plural(recipe.epochs, 'epoch')}`));
          return new TrainingProgress(context, 'train').hooks();
        },
        onBegin: (model, dataset) => {
          const { arch } = model.config;
          progress.line(`  ${arch}, ${count(model.numParameters())} parameters, on ${device}`);
          const { recipe } = plan.dense ?? plan.prune;
          progress.line(wrapText(describeDataset(dataset, recipe), columnsOf(context.io.stderr)));
        },
        onImport: (model, { assumed, notes }) => {
          facts = { model, assumed, notes: notes.map((note) => inFlags(note, context.flags)) };
          sayAssumptions(context, facts);
        },
        onRounds: () => {
          progress.end();
          const { rates, costBudget, rounds = 1, method } = plan.prune;
          const shares = Object.entries(rates).map(
            ([kind, rate]) => `${percent(rate, 0)} of ${kind}`,
          );
          const aim = costBudget ? `to ${budgetWords(costBudget)}` : `${shares.join(' and ')} away`;
          progress.line(dim(`${method}: ${aim} in ${plural(rounds, 'round')}`));
        },
        prune: pruningHooks(context, impFlags),
      },
    ),
  );
  return { run, device, facts };
}

/** `--gpu 1` is `--device cuda:1`. @throws UsageError if both are given and differ */
function onGpu({ options, given }: Context<ImpCommandOptions>): CommonOptions {
  const { gpu } = options;
  if (gpu === undefined) return options;
  if (given.device !== undefined && given.device !== `cuda:${gpu}`) {
    throw new UsageError(`got --gpu ${gpu} and --device ${given.device}. Leave one of them out.`);
  }
  return { ...options, device: `cuda:${gpu}` };
}

const withResume = (argv: readonly string[]): string[] =>
  argv.includes('--resume') ? [...argv] : [...argv, '--resume'];
