// Pruning beside Torch-Pruning: the same dense weights cut to the same MACs by both, then trained by the same trainer on
// the same images in the same order. CIFAR-10; README.md beside this file says what is compared and how.
//
//   node benchmarks/torch-pruning/compare.mjs --data DIR [--out runs/torch-pruning] [--models resnet56,vit_tiny]
//     [--rows ours-l2,theirs-l2] [--rates 0.5,0.7] [--seeds 3] [--first-seed 0] [--dense FILE] [--cut-only]
//     [--epochs N] [--dense-epochs N] [--train-images N] [--test-images N] [--batch-size N] [--bn-batches 8]
//     [--device cpu] [--threads N] [--python python3] [--minutes N] [--quick]
//   node benchmarks/torch-pruning/compare.mjs --table FOLDER...
//
// --rates: shares of the MACs to remove. --python: one with torch 2 and torch_pruning. --dense: a model file to cut in
// place of training one. --minutes: stops then, with status 75; the same command goes on. --table: the table of what is in the
// folders.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import { evaluateModel, inspectModel, loadModel, openDataset, saveModel } from 'mamba-prune';
import { refuse } from '../../scripts/script-flags.mjs';
import { hasBatchNorms, measureNormsAgain } from '../dense-models.mjs';
import { compensatedCut, knowsFlag, ourCut, theirCut, theirTraining } from './cuts.mjs';
import { recipeOf, settings as readSettings } from './settings.mjs';
import { table } from './table.mjs';
import { Stopped, dense, finetune } from './training.mjs';

const settings = readSettings();
if (settings.threads > 0) setNumThreads(settings.threads);
const resultsFile = join(settings.out, 'results.json');
const folders = settings.table ? settings.folders : [settings.out];
const results = folders.flatMap((folder) => {
  const file = join(folder, 'results.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  if (settings.table)
    refuse(`--table: ${folder} has no results.json, expected the --out of an earlier run`);
  return [];
});

if (!settings.table) {
  mkdirSync(settings.out, { recursive: true });
  const stop = new AbortController();
  const timer =
    settings.minutes === undefined
      ? undefined
      : setTimeout(() => stop.abort(), 6e4 * settings.minutes);
  try {
    await measureAll(stop.signal);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    console.error('stopped; the same command goes on');
    process.exitCode = 75;
  } finally {
    clearTimeout(timer);
  }
}
console.log(table(results));

async function measureAll(signal) {
  const dataset = await openDataset('cifar10', { dir: settings.data });
  const rows = settings.rows.filter(
    ({ id, compensate }) => !compensate || knowsFlag('--compensate') || skipped(id),
  );
  for (const seed of settings.seeds) {
    for (const model of settings.models) {
      const denseFile = await dense(model, seed, settings, signal);
      for (const rate of settings.rates) {
        for (const row of rows) {
          // No recipe of the loop in PyTorch has the augmentation of a transformer.
          if (row.loop === 'theirs' && model.id.startsWith('vit')) continue;
          if (signal.aborted) throw new Stopped();
          await measureOrSay(row, { model, seed, rate, denseFile, dataset, signal });
        }
      }
    }
  }
}

function skipped(id) {
  console.error(`${id}: left out, for this version of prune has no --compensate`);
  return false;
}

/** A row that fails leaves the others their time. */
async function measureOrSay(row, context) {
  try {
    await measureRow(row, context);
  } catch (error) {
    if (error instanceof Stopped) throw error;
    console.error(`${row.id}: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}

/** One cut with its training, written at once; nothing where it is there already. */
async function measureRow(row, context) {
  const { model, seed, rate, denseFile, dataset } = context;
  const id = `${model.id}-${seed}-${rate}-${row.id}`;
  const folder = join(settings.out, id);
  const cutFile = join(folder, 'cut.safetensors');
  const cutIsThere = existsSync(row.loop === 'theirs' ? join(folder, 'pruned.pt') : cutFile);
  let entry = results.find((candidate) => candidate.id === id);
  if (entry !== undefined && entry.trained === undefined && !cutIsThere) {
    // Of another machine, where only the results came from.
    results.splice(results.indexOf(entry), 1);
    entry = undefined;
  }
  if (entry === undefined) {
    console.error(`${id}: cutting ...`);
    mkdirSync(folder, { recursive: true });
    const { model: uncut, info } = loadModel(denseFile);
    const denseMacs = inspectModel(uncut).macs;
    const before = await accuracy(uncut, dataset);
    uncut.dispose();
    const target = Math.round((1 - rate) * denseMacs);
    const cutBy = row.by === 'theirs' ? theirCut : row.compensate ? compensatedCut : ourCut;
    const { model: cut, facts } = await cutBy(denseFile, row, target, {
      ...context,
      ...{ settings, folder },
    });
    entry = { id, model: model.id, seed, rate, row: row.id, by: row.by, label: label(row) };
    Object.assign(entry, { before, denseMacs, ...facts });
    if (cut !== undefined) {
      const { macs, parameters } = inspectModel(cut);
      Object.assign(entry, { macs, parameters, after: await accuracy(cut, dataset) });
      entry.measured = await withNorms(cut, dataset, seed);
      saveModel(cutFile, cut, info);
      cut.dispose();
    }
    results.push(entry);
    write();
  }
  if (settings['cut-only'] || entry.trained !== undefined) return;
  console.error(`${id}: training ...`);
  const trained =
    row.loop === 'theirs'
      ? theirTraining(folder, recipeOf(model.finetune, settings, settings.epochs, seed), {
          ...{ dataset, settings },
        })
      : await finetune(cutFile, join(folder, 'trained'), { ...context, settings });
  Object.assign(entry, { trained: trained.accuracy, trainingSeconds: trained.seconds });
  write();
}

function label({ importance, score, stream, loop, compensate }) {
  const parts = [
    ...(score === 'group' && importance !== 'group-magnitude' ? ['of the group'] : []),
    ...(compensate ? ['compensated'] : []),
    ...(stream ? ['residual stream too'] : []),
    ...(loop === 'theirs' ? ['trained in PyTorch'] : []),
  ];
  return [`\`${importance}\``, ...parts].join(', ');
}

async function accuracy(model, dataset) {
  const { device, testImages } = settings;
  model.to(device);
  const result = await evaluateModel(model, dataset, { device, images: testImages });
  return result.accuracy;
}

/** The statistics of batch normalisation measured again, as by --bn-batches; then the accuracy. Undefined without any. */
async function withNorms(model, dataset, seed) {
  if (!hasBatchNorms(model) || settings.bnBatches === 0) return undefined;
  await measureNormsAgain(model, dataset, { seed, batches: settings.bnBatches });
  return accuracy(model, dataset);
}

/** As a whole or not at all. */
function write() {
  writeFileSync(`${resultsFile}.tmp`, `${JSON.stringify(results, null, 1)}\n`);
  renameSync(`${resultsFile}.tmp`, resultsFile);
}
