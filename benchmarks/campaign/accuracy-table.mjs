// The jobs of the table in docs/results/all-runs.md: accuracy after pruning, by set, rate, method and seed. A dense mamba_small is trained
// on each set, and every cell is one run of `mamba-prune compare` from it, in a folder of its own.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { usualFillback } from 'mamba-prune/internal';

const program = join(
  dirname(fileURLToPath(import.meta.url)),
  '../../packages/mamba-prune/dist/cli/main.js',
);

/** The learning rate tuned for each method at 90%, on a seed that is not in the table. */
const learningRates = {
  cifar10: { oneshot: 4e-3, refill: 4e-3, rsst: 2e-3 },
  cifar100: { oneshot: 8e-3, refill: 8e-3, rsst: 4e-3 },
};
export const campaignSets = Object.keys(learningRates);
export const campaignMethods = [...Object.keys(learningRates.cifar10), 'scratch'];
const finetuneEpochs = 40;
const architecture = ['--arch', 'mamba_small', '--scan', 'cross'];
const recipe = (
  `--finetune-epochs ${finetuneEpochs} --optimizer muon --batch-size 512 --augment strong --mixup 0 --cutmix 0 ` +
  `--importance taylor --eval-every ${finetuneEpochs} --jobs 1`
).split(' ');
/** A tenth of what is removed returns, or less where its first cut would choose less than half of what stays (docs/methods.md). */
const fillbackAt = (percent) => usualFillback(1 - percent / 100, 'keep');
/** What only one method takes. */
const ownFlags = {
  refill: (percent) => ['--fillback', fillbackAt(percent)],
  rsst: () => ['--reg-epochs', 8, '--lr-through'],
};

const run = (...args) => [process.execPath, program, ...args.map(String)];
/** For bash: folders may have spaces in their names. */
const quoted = (words) => words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
const folderOf = (out, ...parts) => join(out, 'runs', ...parts);

/**
 * Trains a set's dense model and counts its accuracy.
 * @param dense - folder of a model of an earlier campaign, whose accuracy is counted in place of a training
 */
export function denseJob(set, { data, out, dense, ...job }) {
  const folder = dense ?? folderOf(out, set, 'dense');
  const images = ['--dataset', set, '--data', data];
  mkdirSync(join(out, 'results', set), { recursive: true });
  const train = run(
    ...['train', ...architecture, ...images, '--preset', 'best', '--eval-every', 35],
    ...['--out', folder],
  );
  const evaluate = run('eval', folder, ...images, '--json');
  const commands = [
    ...(dense === undefined ? [quoted(train)] : []),
    `${quoted(evaluate)} >${quoted([denseFile(out, set)])}`,
  ];
  return {
    name: `${set}/dense`,
    command: ['bash', '-c', commands.join(' && ')],
    done: () =>
      copyFileSync(join(folder, 'metrics.jsonl'), join(out, 'results', set, 'dense.jsonl')),
    ...job,
  };
}

/**
 * One cell: a method at a rate with a seed. Its log and its summary go to `out`/results/SET/PERCENT. A fresh model has the widths
 * of a one-shot cut, so the cell of `scratch` is that of `oneshot` too.
 * @param dense - folder of a model of an earlier campaign, in place of the one that `denseJob` trains
 */
export function cellJob(set, { method, percent, seed, data, out, dense, ...job }) {
  const methods = method === 'scratch' ? ['oneshot', method] : [method];
  const learningRate = learningRates[set][methods[0]];
  const folder = folderOf(out, set, `${method}-${percent}-${seed}`);
  const model = dense ?? folderOf(out, set, 'dense');
  return {
    name: `${set}/${percent}/${method}-seed-${seed}`,
    after: [`${set}/dense`],
    seconds: 120,
    command: run(
      ...['compare', '--dense', model, '--dataset', set, '--data', data],
      ...[...recipe, '--methods', methods, '--rate', percent / 100, '--seeds', 1, '--seed', seed],
      ...[...(ownFlags[method]?.(percent) ?? []), '--finetune-lr', learningRate, '--out', folder],
    ),
    done: () => {
      const { runs } = readJson(join(folder, 'results.json'));
      const [cut] = runs.filter((result) => result.method !== 'scratch');
      const { parameters, macs } = readJson(join(folder, cut.run, 'pruning.json'));
      const before = { denseParams: parameters.before, denseMacs: macs.before };
      for (const result of runs) keepRun(folder, result, { set, percent, seed, out, before });
    },
    ...job,
  };
}

function keepRun(folder, result, { set, percent, seed, out, before }) {
  const { method, run, accuracy, beforeCut, afterCut, parameters, macs } = result;
  const summary = {
    ...{ set, rate: percent / 100, method, seed },
    denseAccuracy: readJson(denseFile(out, set)).accuracy,
    ...{ beforeCut, afterCut, accuracy, params: parameters, macs, ...before },
    ...trainingOf(method, set, join(folder, run)),
    ...(method === 'refill' && { fillback: fillbackAt(percent) }),
  };
  const results = join(out, 'results', set, String(percent));
  mkdirSync(results, { recursive: true });
  const file = join(results, `${method}-seed-${seed}`);
  writeFileSync(`${file}.summary.json`, `${JSON.stringify(summary, null, 2)}\n`);
  copyFileSync(join(folder, run, 'metrics.jsonl'), `${file}.jsonl`);
}

/** The highest learning rate and the epochs of a run; a fresh model's are of the dense recipe, made longer. */
function trainingOf(method, set, folder) {
  if (method !== 'scratch')
    return { learningRate: learningRates[set][method], epochs: finetuneEpochs };
  const { lr, epochs } = readJson(join(folder, 'config.json')).train;
  return { learningRate: lr, epochs };
}

const denseFile = (out, set) => join(out, 'results', set, 'dense.json');
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** All cells of a set, seed by seed, so that whatever is done when time is over is a table of fewer seeds. */
export function cellJobs(set, { rates, methods, seeds, ...rest }) {
  const jobMethods = methods.includes('scratch')
    ? methods.filter((method) => method !== 'oneshot')
    : methods;
  return seeds.flatMap((seed) =>
    rates.flatMap((percent) =>
      jobMethods.map((method) => cellJob(set, { method, percent, seed, ...rest })),
    ),
  );
}
