// The jobs of the table in docs/results.md: accuracy after pruning, by set, rate, method and seed. A dense mamba_small is trained
// on each set, and every cell is one run of `mamba-prune compare` from it, in a folder of its own.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = join(
  dirname(fileURLToPath(import.meta.url)),
  '../../packages/mamba-prune/dist/cli/main.js',
);

/** The learning rate tuned for each method at 90%, on a seed that is not in the table. */
const learningRates = {
  cifar10: { oneshot: 4e-3, refill: 4e-3, rsst: 2e-3 },
  cifar100: { oneshot: 8e-3, refill: 8e-3, rsst: 4e-3 },
};
const finetuneEpochs = 40;
const architecture = ['--arch', 'mamba_small', '--scan', 'cross'];
const recipe = (
  `--finetune-epochs ${finetuneEpochs} --reg-epochs 8 --lr-through --optimizer muon --batch-size 512 ` +
  `--augment strong --mixup 0 --cutmix 0 --warmup-epochs 4 --importance taylor --eval-every ${finetuneEpochs} --jobs 1`
).split(' ');

const run = (...args) => [process.execPath, program, ...args.map(String)];
/** For bash: folders may have spaces in their names. */
const quoted = (words) => words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
const folderOf = (out, ...parts) => join(out, 'runs', ...parts);

/** Trains a set's dense model and counts its accuracy. */
export function denseJob(set, { data, out, ...job }) {
  const folder = folderOf(out, set, 'dense');
  const images = ['--dataset', set, '--data', data];
  mkdirSync(join(out, 'results', set), { recursive: true });
  const train = run(
    ...['train', ...architecture, ...images, '--preset', 'best', '--eval-every', 35],
    ...['--out', folder],
  );
  const dense = denseFile(out, set);
  const evaluate = run('eval', folder, ...images, '--json');
  return {
    name: `${set}/dense`,
    command: ['bash', '-c', `${quoted(train)} && ${quoted(evaluate)} >${quoted([dense])}`],
    done: () =>
      copyFileSync(join(folder, 'metrics.jsonl'), join(out, 'results', set, 'dense.jsonl')),
    ...job,
  };
}

/** One cell: a method at a rate with a seed. Its log and its summary go to `out`/results/SET/PERCENT. */
export function cellJob(set, { method, percent, seed, data, out, ...job }) {
  const learningRate = learningRates[set][method];
  const folder = folderOf(out, set, `${method}-${percent}-${seed}`);
  return {
    name: `${set}/${percent}/${method}-seed-${seed}`,
    after: [`${set}/dense`],
    seconds: 120,
    command: run(
      ...['compare', '--dense', folderOf(out, set, 'dense'), '--dataset', set, '--data', data],
      ...[...recipe, '--methods', method, '--rate', percent / 100, '--seeds', 1, '--seed', seed],
      ...['--finetune-lr', learningRate, '--out', folder],
    ),
    done: () => keepCell(folder, { set, method, percent, seed, learningRate, out }),
    ...job,
  };
}

function keepCell(folder, { set, method, percent, seed, learningRate, out }) {
  const [{ run, accuracy, beforeCut, afterCut }] = readJson(join(folder, 'results.json')).runs;
  const { parameters, macs } = readJson(join(folder, run, 'pruning.json'));
  const summary = {
    ...{ set, rate: percent / 100, method, seed },
    denseAccuracy: readJson(denseFile(out, set)).accuracy,
    ...{ beforeCut, afterCut, accuracy },
    ...{ params: parameters.after, macs: macs.after },
    ...{ denseParams: parameters.before, denseMacs: macs.before },
    ...{ learningRate, epochs: finetuneEpochs },
  };
  const results = join(out, 'results', set, String(percent));
  mkdirSync(results, { recursive: true });
  const file = join(results, `${method}-seed-${seed}`);
  writeFileSync(`${file}.summary.json`, `${JSON.stringify(summary, null, 2)}\n`);
  copyFileSync(join(folder, run, 'metrics.jsonl'), `${file}.jsonl`);
}

const denseFile = (out, set) => join(out, 'results', set, 'dense.json');
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** All cells of a set, seed by seed, so that whatever is done when time is over is a table of fewer seeds. */
export function cellJobs(set, { rates, methods, seeds, ...rest }) {
  return seeds.flatMap((seed) =>
    rates.flatMap((percent) =>
      methods.map((method) => cellJob(set, { method, percent, seed, ...rest })),
    ),
  );
}
