import type { Command } from 'commander';
import { benchLimits, trainLimits } from '../../limits.js';
import type { BenchCandidate, BenchResult } from '../../bench/bench.js';
import type { OnnxPrecision } from '../../export/onnx-model.js';
import { type Cli, type Context, action, addExamples, shownPath } from '../context.js';
import { findModel, modelLabels } from '../model-argument.js';
import { isOnnx } from '../../workflows/model-path.js';
import { onnxFacts } from '../onnx-precision.js';
import { type ModelFacts, openFile } from '../open-model.js';
import type { PassProfile } from '../../bench/profile-model.js';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ResolvedInferencePrecision } from '../../precision.js';
import { type Keep, releasing } from '../../releasing.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type ImportFlags, addImportOptions, importOptionsOf } from '../options/import.js';
import { integerOption, integersOption, numberOption } from '../options/parse.js';
import { bytes, grouped, milliseconds, plural, times } from '../../format.js';
import { printProfile } from '../profile-table.js';
import { interruptible } from '../work.js';

interface BenchCommandOptions extends CommonOptions, ImportFlags {
  readonly batch: readonly number[];
  readonly runs: number;
  readonly minTime: number;
  readonly webgpu?: true;
  readonly profile?: true;
}

/** What is timed, and what the table and --json say of it. */
type Candidate = BenchCandidate & {
  readonly path: string;
  readonly facts: ModelFacts;
  readonly inputShape: readonly number[];
  readonly parameters: number;
  /** What it computes in: an ONNX file says so itself, the others do as they are told. */
  readonly precision?: OnnxPrecision;
  /** The model itself, where it is one of ours. */
  readonly profiled?: ImageModel;
};

export function addBenchCommand(program: Command, cli: Cli): void {
  const command = program
    .command('bench')
    .summary('measure latency and throughput of models side by side')
    .description(
      'Measures the forward pass of one or more models. They take turns in one process, round by ' +
        'round, so what else the machine does hits all alike. The speed-up over the first model is ' +
        'the median of the rounds; its quartiles stand behind it. ONNX files are run by onnxruntime ' +
        'with as many threads.',
    )
    .argument(
      '<MODEL|RUN...>',
      'model files of this program, of PyTorch (.safetensors, .pt, .pth, .bin ...) or .onnx, folders of runs, ' +
        'hf:owner/name, pretrained:NAME of the published ones, or models:NAME of the trained ones; the first is the reference',
    )
    .addOption(
      integersOption('--batch <n,...>', 'batch sizes to measure', {
        min: 1,
        max: trainLimits.batchSize,
      }).default([1, 64], '1,64'),
    )
    .addOption(
      integerOption('--runs <n>', 'number of rounds', { min: 1, max: benchLimits.rounds }).default(
        15,
      ),
    )
    .addOption(
      numberOption('--min-time <ms>', 'least time for one model in one round', {
        min: 0,
        max: benchLimits.roundMs,
      }).default(50),
    )
    .option('--webgpu', 'run ONNX files on WebGPU too, where it starts')
    .option(
      '--profile',
      'then say, operator by operator, where the time of an inference and of a training step goes (on the CPU)',
    );
  addImportOptions(
    command,
    'Files of other programs among them, where they do not say it themselves:',
  );
  addCommonOptions(command, { infers: true });
  addExamples(command, [
    [
      'A pruned model against the dense one',
      'mamba-prune bench runs/quickstart/dense runs/quickstart/pruned',
    ],
    [
      'Against onnxruntime',
      'mamba-prune bench dense.safetensors dense.onnx pruned.safetensors \\\n' + '    pruned.onnx',
    ],
    ['One thread, batch 1', 'mamba-prune bench model.safetensors --batch 1 --threads 1'],
    ['Where the time goes', 'mamba-prune bench model.safetensors --batch 32 --profile'],
  ]);
  action<BenchCommandOptions>(cli, command, async (context, ...given) => {
    const { options, progress } = context;
    const batches = options.batch;
    const paths: string[] = [];
    for (const argument of given.flat())
      paths.push(await findModel(context, argument, { takesOnnx: true }));
    if (options.webgpu && !paths.some(isOnnx)) {
      throw new UsageError(
        'got --webgpu, which is for ONNX files, and no model is one. Leave it out, or name a file that mamba-prune export wrote.',
      );
    }
    const { prepareDevice } = await import('../device.js');
    const { benchmarkModels } = await import('../../bench/bench.js');
    const { weightsBytes } = await import('../../models/import/shards.js');
    const { getNumThreads } = await import('@mamba-prune/libtorch');
    const device = prepareDevice(options, (note) => {
      context.note(note);
    });
    if (options.profile && device !== 'cpu') {
      throw new UsageError(
        `--profile: got device ${device}, expected cpu. A GPU works beside the program, so that the time of a call says nothing of it.`,
      );
    }
    const { inferencePrecisionOn } = await import('../../models/inference-precision.js');
    const precision = inferencePrecisionOn(device, options.precision);
    // A session that is not ended keeps its threads and the memory of a GPU.
    const { models, results, profiles } = await releasing(async (keep) => {
      const found = await openCandidates(context, paths, device, keep);
      const { checkBatchNeed } = await import('../../memory-need.js');
      for (const { inputShape } of found) {
        checkBatchNeed('bench', Math.max(...batches), inputShape, 'Give fewer (--batch).');
      }
      if (options.profile && precision === 'fp32') {
        const { checkProfiledStep } = await import('../../workflows/check-need.js');
        for (const { profiled } of found) {
          if (profiled) checkProfiledStep(profiled, Math.max(...batches));
        }
      }
      progress.begin('bench', batches.length * options.runs, 'rounds');
      const timed = await interruptible(context, (signal) =>
        benchmarkModels(found, {
          batches,
          inputShape: found[0]?.inputShape ?? [],
          rounds: options.runs,
          minRoundMs: options.minTime,
          device,
          precision,
          seed: options.seed,
          signal,
          onProgress: (done) => {
            progress.update(done);
          },
        }),
      );
      const profiled = options.profile ? await profilesOf(found, batches, precision) : [];
      return { models: found, results: timed, profiles: profiled };
    });
    const precisions = models.map((model) => model.precision ?? precision);
    if (options.profile) noteUnprofiled(context, models, profiles, precision);
    const threads = getNumThreads();
    context.json({
      device,
      // Where ONNX files are alone, that of the reference.
      precision: models.some((model) => model.precision === undefined) ? precision : precisions[0],
      threads,
      runs: options.runs,
      models: models.map((model, i) => ({
        name: model.name,
        path: model.path,
        ...model.facts,
        runtime: 'runtime' in model ? model.runtime : 'libtorch',
        precision: precisions[i],
        fileBytes: weightsBytes(model.path),
        parameters: model.parameters,
      })),
      results,
      ...(options.profile && { profiles }),
    });
    const where = `${device} in ${[...new Set(precisions)].join(' and ')}${graphNote(results)}`;
    const how = `${plural(threads, 'thread')}, ${plural(options.runs, 'round')}`;
    context.title(`Latency and throughput (${where}, ${how})`);
    printBench(context, results);
    for (const profile of profiles) printProfile(context, profile);
    context.print();
    const files = [...new Set(paths)];
    context.facts(files.map((path) => [bytes(weightsBytes(path)), shownPath(path)]));
  });
}

/** Of every model of ours at each batch size; what another runtime computes cannot be looked into. */
async function profilesOf(
  models: readonly Candidate[],
  batches: readonly number[],
  precision: ResolvedInferencePrecision,
): Promise<PassProfile[]> {
  const { profileModel } = await import('../../bench/profile-model.js');
  return models.flatMap(({ name, profiled }) =>
    profiled ? batches.flatMap((batch) => profileModel(name, profiled, { batch, precision })) : [],
  );
}

/** Says which models and training steps have no profile, and why. */
function noteUnprofiled(
  context: Context<BenchCommandOptions>,
  models: readonly Candidate[],
  profiles: readonly PassProfile[],
  precision: ResolvedInferencePrecision,
): void {
  for (const { name, profiled } of models) {
    if (!profiled) context.note(`${name} has no profile: onnxruntime computes it.`);
  }
  if (profiles.length > 0 && precision !== 'fp32') {
    context.note(`A training step is profiled in fp32 only; --precision is ${precision}.`);
    return;
  }
  for (const [i, { model, batch, pass }] of profiles.entries()) {
    if (pass === 'training' || profiles[i + 1]?.pass === 'training') continue;
    context.note(
      `${model} has no training step at batch ${batch}: its BatchNorm would get one value per channel. Profile a larger batch (--batch).`,
    );
  }
}

/** Every file once; an ONNX file a second time on WebGPU if asked for. */
async function openCandidates(
  context: Context<BenchCommandOptions>,
  paths: readonly string[],
  device: string,
  keep: Keep,
): Promise<Candidate[]> {
  const { benchModel } = await import('../../bench/bench-model.js');
  const { benchOnnx } = await import('../../bench/bench-onnx.js');
  const { getNumThreads } = await import('@mamba-prune/libtorch');
  const { describesItself } = await import('../../workflows/open-model-file.js');
  const { sameInfo } = await import('../../workflows/same-info.js');
  const { OnnxModel } = await import('../../export/onnx-model.js');
  const typed = await importOptionsOf(context.given);
  const isOurs = (path: string): boolean => isOnnx(path) || describesItself(path);
  // What was typed is of the others; where there are none, it has to be true of all.
  const saidOf = (path: string) => (isOurs(path) && !paths.every(isOurs) ? {} : typed);
  const labels = modelLabels(paths);
  const found: Candidate[] = [];
  for (const [index, path] of paths.entries()) {
    const name = labels[index] ?? path;
    if (!isOnnx(path)) {
      const { model, facts } = await openFile(context, path, { said: saidOf(path) });
      const timed = benchModel(name, keep(model).to(device));
      found.push({ ...timed, path, facts, profiled: model });
      continue;
    }
    if (Object.keys(saidOf(path)).length > 0) {
      const onnx = await OnnxModel.open(path);
      const { model, ...info } = onnx.description;
      await onnx.release();
      sameInfo(path, model, info, typed);
    }
    const onnx = keep(await benchOnnx(name, path, getNumThreads()));
    const facts = onnxFacts(context, path, onnx.precision);
    found.push({ ...onnx, path, facts });
    if (!context.options.webgpu) continue;
    try {
      const onGpu = keep(await benchOnnx(`${name} (webgpu)`, path, getNumThreads(), 'webgpu'));
      found.push({ ...onGpu, path, facts });
    } catch (error) {
      context.note(`WebGPU does not start: ${(error as Error).message}`);
    }
  }
  return found;
}

/** Whether a GPU was given each pass as one graph; nothing on the CPU. */
function graphNote(results: readonly BenchResult[]): string {
  const found = [...new Set(results.map(({ graph }) => graph))].filter(
    (graph) => graph !== undefined,
  );
  if (found.length === 0) return '';
  const others = found.filter((graph) => graph !== 'replayed');
  return others.length === 0 ? ' as CUDA graphs' : ` without CUDA graphs: ${others.join('; ')}`;
}

/** One table for each batch size. */
export function printBench(context: Context, results: readonly BenchResult[]): void {
  for (const batch of new Set(results.map((result) => result.batch))) {
    context.print();
    context.table(
      [
        { title: `batch ${batch}`, flexible: true },
        { title: 'median', align: 'right' },
        { title: 'p10 - p90', align: 'right' },
        { title: 'images/s', align: 'right' },
        { title: 'speed-up', align: 'right' },
        { title: 'quartiles', align: 'right' },
      ],
      results
        .filter((result) => result.batch === batch)
        .map(({ model, medianMs, p10Ms, p90Ms, imagesPerSecond, speedup }, index) => [
          model,
          milliseconds(medianMs),
          range(milliseconds(p10Ms), milliseconds(p90Ms)),
          grouped(Math.round(imagesPerSecond)),
          index === 0 ? '1x' : times(speedup.median),
          index === 0 ? '' : range(times(speedup.q1), times(speedup.q3)),
        ]),
    );
  }
}

/** `1.10 - 1.52 ms`: a unit that both have is said once. */
function range(from: string, to: string): string {
  const unit = / ?[a-z]+$/.exec(to)?.[0] ?? '';
  return `${from.endsWith(unit) ? from.slice(0, from.length - unit.length) : from} - ${to}`;
}
