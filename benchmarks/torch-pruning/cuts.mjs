// The two ways to cut a dense model to a number of MACs: ours, and Torch-Pruning's by peer.py.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cat, noGrad, saveSafetensors, scope, synchronize } from '@mamba-prune/libtorch';
import { calibrationOf, inspectModel, loadModel, pruneModel, pruneOneShot } from 'mamba-prune';
import { defaultKinds, scoreUnits, selectUnits } from 'mamba-prune/pruning';
import './group-magnitude.mjs';
import { imported } from './training.mjs';

const peer = fileURLToPath(new URL('peer.py', import.meta.url));
const cli = fileURLToPath(new URL('../../packages/mamba-prune/dist/cli/main.js', import.meta.url));
const scoreBatches = 8;

/**
 * The smallest rate, found by halving, that leaves at most the MACs asked for; then the cut at this rate by itself, which
 * is timed: scores, choice and surgery.
 * @returns the model, of the caller
 */
export async function ourCut(denseFile, row, target, { dataset, seed, settings }) {
  const { model } = loadModel(denseFile);
  model.to(settings.device);
  const { importance, score } = row;
  const calibration = calibrationOf(dataset, {
    ...{ batches: scoreBatches, seed, device: settings.device },
  });
  const kinds = defaultKinds(model);
  const groups = model.pruningGroups();
  const scores = await scoreUnits(model, groups, { importance, score }, calibration);
  const macsAt = (rate) => {
    const kept = new Map(
      kinds.flatMap((kind) => [
        ...selectUnits(
          groups.filter((group) => group.kind === kind),
          scores,
          { rate, ranking: 'global' },
        ),
      ]),
    );
    const cut = pruneModel(model, kept);
    const { macs } = inspectModel(cut);
    cut.dispose();
    return macs;
  };
  const rate = smallestRate(macsAt, target);
  const rates = Object.fromEntries(kinds.map((kind) => [kind, rate]));
  const start = performance.now();
  const cut = await pruneOneShot(
    model,
    { rates, importance, score, ranking: 'global' },
    calibration,
  );
  if (settings.device.startsWith('cuda')) synchronize(settings.device);
  const seconds = (performance.now() - start) / 1e3;
  model.dispose();
  return { model: cut.model, facts: { rate, seconds } };
}

function smallestRate(macsAt, target) {
  let [low, high] = [0, 1 - 1e-6];
  if (macsAt(high) > target) throw new Error(`no rate leaves at most ${target} MACs`);
  for (let i = 0; i < 12; i++) {
    const rate = (low + high) / 2;
    if (macsAt(rate) <= target) high = rate;
    else low = rate;
  }
  return high;
}

/** Whether this version of `prune` knows the flag. */
export function knowsFlag(flag) {
  const help = execFileSync(process.execPath, [cli, 'prune', '--help'], { encoding: 'utf8' });
  return help.includes(` ${flag}`);
}

/** As `ourCut`, with the weights that stay compensated for those that went: by `prune --compensate` at the same rate. */
export async function compensatedCut(denseFile, row, target, context) {
  const { settings, seed, folder } = context;
  const plain = await ourCut(denseFile, row, target, context);
  plain.model.dispose();
  const out = join(folder, 'compensated');
  const flags = {
    ...{ rate: plain.facts.rate, importance: row.importance, score: row.score },
    ...{ 'score-batches': scoreBatches, seed, device: settings.device, out },
    ...{ dataset: 'cifar10', data: settings.data },
    ...(settings.testImages && { 'test-images': settings.testImages }),
  };
  const list = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const start = performance.now();
  execFileSync(
    process.execPath,
    [cli, 'prune', denseFile, '--compensate', '--overwrite', ...list],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  // With the start of the program and its two measurements of the accuracy.
  const seconds = (performance.now() - start) / 1e3;
  const { model } = loadModel(join(out, 'model.safetensors'));
  return { model, facts: { ...plain.facts, seconds } };
}

/**
 * Runs Torch-Pruning on the same weights and images.
 * @returns the model in our classes, or none where the stream was cut; with what peer.py reports
 */
export async function theirCut(denseFile, row, target, { dataset, seed, settings, model, folder }) {
  mkdirSync(folder, { recursive: true });
  const { model: dense } = loadModel(denseFile);
  const { imageSize, numClasses } = dense.config;
  const weights = join(folder, 'dense.safetensors');
  saveSafetensors(weights, dense.stateDict());
  const headDim = dense.config.headDim ?? undefined;
  dense.dispose();
  const calibration = join(folder, 'calibration.safetensors');
  await saveCalibration(calibration, dataset, seed);
  const job = {
    ...{ arch: model.id, imageSize, classes: numClasses, patchSize: model.model.patchSize ?? null },
    ...{ weights: resolve(weights), calibration: resolve(calibration) },
    ...{ importance: row.importance, stream: row.stream === true, macs: target },
    ...{ device: settings.device, seed, threads: settings.threads },
  };
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job));
  runPeer('cut', folder, settings);
  const report = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'));
  const { logits, ratio, seconds, theirMacs, macs, parameters, versions } = report;
  const facts = { rate: ratio, seconds, theirMacs, macs, parameters, versions };
  if (row.stream === true) return { model: undefined, facts };
  const cut = await imported(join(folder, 'pruned.pth'), model.id, { imageSize, headDim });
  await checkLogits(cut, logits, dataset, seed);
  const counted = inspectModel(cut).macs;
  if (counted !== macs) throw new Error(`got ${counted} MACs here and ${macs} in peer.py`);
  return { model: cut, facts };
}

/** Trains what the last `theirCut` left in the folder, in PyTorch. */
export function theirTraining(folder, recipe, { dataset, settings }) {
  const { mean, std } = dataset.info;
  const train = {
    ...{ ...recipe, mean, std, folder: resolve(settings.data, 'cifar-10-batches-bin') },
    ...{ device: settings.device, threads: settings.threads },
    trainImages: recipe.maxTrainImages ?? null,
    testImages: recipe.maxTestImages ?? null,
  };
  writeFileSync(join(folder, 'train.json'), JSON.stringify(train));
  runPeer('train', folder, settings);
  return JSON.parse(readFileSync(join(folder, 'trained.json'), 'utf8'));
}

function runPeer(command, folder, settings) {
  execFileSync(settings.python, [peer, command, resolve(folder)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** The images that our scores see, in one file. */
async function saveCalibration(path, dataset, seed) {
  const batches = [];
  const calibration = calibrationOf(dataset, { batches: scoreBatches, seed, device: 'cpu' });
  for await (const batch of calibration()) batches.push(batch);
  const images = cat(batches.map((batch) => batch.images));
  const labels = cat(batches.map((batch) => batch.labels));
  saveSafetensors(
    path,
    new Map([
      ['images', images],
      ['labels', labels],
    ]),
  );
  for (const tensor of [images, labels, ...batches.flatMap((b) => [b.images, b.labels])])
    tensor.dispose();
}

/** What was imported computes what PyTorch computed before: else the comparison would be of two different models. */
async function checkLogits(model, expected, dataset, seed) {
  const calibration = calibrationOf(dataset, { batches: scoreBatches, seed, device: 'cpu' });
  const passes = calibration();
  const { value: first } = await passes.next();
  const [worst, size] = scope(() =>
    noGrad(() => {
      const logits = model.forward(first.images.narrow(0, 0, expected.length)).toTypedArray();
      const flat = expected.flat();
      const differences = flat.map((value, i) => Math.abs(value - logits[i]));
      return [Math.max(...differences), Math.max(...flat.map(Math.abs))];
    }),
  );
  await passes.return();
  first.images.dispose();
  first.labels.dispose();
  // Rounding in float32 over some 60 layers.
  if (!(worst <= 1e-3 * size)) {
    throw new Error(
      `the imported model differs by ${worst} from PyTorch's, whose logits go to ${size}`,
    );
  }
}
