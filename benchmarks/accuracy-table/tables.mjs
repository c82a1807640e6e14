// The tables of docs/results/all-runs.md, from the runs that there are.
import { count } from 'mamba-prune/format';
import { methodLabel, methodResults, methodTests, pText, pointsText } from 'mamba-prune/internal';
import { markdownTable } from '../markdown-table.mjs';

/** What the table is to have; what was not run is said below it. */
const plannedRates = [0.5, 0.7, 0.8, 0.9, 0.95];
export const plannedMethods = ['oneshot', 'refill', 'rsst'];
const pairs = [
  ['rsst', 'refill'],
  ['refill', 'oneshot'],
  ['rsst', 'oneshot'],
];
const setNames = { cifar10: 'CIFAR-10', cifar100: 'CIFAR-100' };
export const none = '–';

/** @returns {string[]} in the order of the tables */
export const setsOf = (runs) => [
  ...new Set([...Object.keys(setNames), ...runs.map(({ set }) => set)]),
];

export const setName = (set) => setNames[set] ?? set;

export const removed = (rate) => `${Math.round(100 * rate)}%`;
const points = (share) => (100 * share).toFixed(2);

/** Two tables for every set, with a sentence before each. */
export function tablesOf(runs) {
  return setsOf(runs)
    .flatMap((set) => {
      const ofSet = runs.filter((run) => run.set === set);
      return [accuracies(set, ofSet), ...missing(ofSet), ...differences(set, ofSet)];
    })
    .join('\n\n');
}

function accuracies(set, runs) {
  const dense = denseResults(runs).map((result) => rowOf(runs, 0, 'dense', result));
  const rates = ratesOf(runs);
  const results = methodResults(rates, runs);
  const pruned = rates.flatMap((rate) =>
    methodsAt(rate, results).flatMap((method) => {
      const result = results.find((one) => one.method === method && one.rate === rate);
      return result === undefined ? [] : [rowOf(runs, rate, method, result)];
    }),
  );
  const rows = [...(dense.length > 0 ? dense : [rowOf([], 0, 'dense')]), ...pruned];
  const known = (text) => (row) => (row.result === undefined ? none : text(row));
  const ofRun = (text) => (row) => (row.members.length === 0 ? none : text(row.members));
  const columns = [
    {
      title: 'removed',
      cell: ({ rate, images }) => removed(rate) + (images === undefined ? '' : `, ${images}`),
    },
    { title: 'method', cell: ({ method }) => methodLabel(method), left: true },
    { title: 'learning rate', cell: ofRun(([{ learningRate }]) => exponential(learningRate)) },
    { title: 'epochs', cell: ofRun(([{ epochs }]) => String(epochs)) },
    { title: 'began with', cell: ({ rate, members }) => (rate === 0 ? none : denseOf(members)) }, // prettier-ignore
    { title: 'right after the cut', cell: ofRun(afterCut) },
    { title: 'seeds', cell: ofRun((members) => numbers(members.map(({ seed }) => seed))) },
    { title: 'of each seed', cell: ofRun(each), left: true },
    { title: 'n', cell: ({ result }) => String(result?.seeds.length ?? 0) },
    { title: 'accuracy', cell: known(({ result }) => meanText(result)) },
    { title: 'parameters', cell: known(({ result }) => count(result.parameters)) },
    { title: 'MACs', cell: known(({ result }) => count(result.macs)) },
  ];
  return `**${setName(set)}.** Accuracies are in percent, means with the sample standard deviation.\n\n${markdownTable(columns, rows)}`;
}

/** A sentence on the planned cells without a run; none where all have one. */
function missing(runs) {
  const hasRun = (method, rate) => runs.some((run) => run.method === method && run.rate === rate);
  const parts = plannedMethods.flatMap((method) => {
    const rates = plannedRates.filter((rate) => !hasRun(method, rate)).map(removed);
    if (rates.length === 0) return [];
    const at = rates.length === plannedRates.length ? 'at any rate' : `at ${listOf(rates)}`;
    return [`${methodLabel(method)} ${at}`];
  });
  return parts.length === 0 ? [] : [`Not run: ${parts.join('; ')}.`];
}

const listOf = (words) =>
  words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

function rowOf(runs, rate, method, result) {
  const members = runs
    .filter((run) => run.method === method && run.rate === rate)
    .sort((a, b) => a.seed - b.seed);
  return { rate, method, result, members, images: members[0]?.images ?? result?.images };
}

/**
 * Of the dense runs; where there are none, of the models that the others began with. One model may have been evaluated several
 * times, each with other kernels, which differ by some images of 10,000: its accuracy is their mean.
 */
export function denseResults(runs) {
  const own = methodResults([0], runs);
  if (own.length > 0) return own;
  const models = new Map();
  for (const run of runs) {
    const members = models.get(denseModel(run)) ?? [];
    models.set(denseModel(run), [...members, run]);
  }
  return [...models.values()].map((members) => {
    const accuracies = [...new Set(members.map(({ denseAccuracy }) => denseAccuracy))];
    const [{ denseParams, denseMacs, images }] = members;
    return {
      ...{ method: 'dense', rate: 0, seeds: [0], deviation: null },
      accuracy: accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length,
      ...{ beforeCut: null, afterCut: null, parameters: denseParams, macs: denseMacs, images },
    };
  });
}

/** What names the dense model of a run; without a name, what is known of it. */
const denseModel = ({ dense, denseAccuracy, denseMacs, images }) =>
  dense ?? `${denseAccuracy} ${denseMacs} ${images}`;

/** The runs with another number for each pair of dense model and seed: only runs from one dense model are pairs. */
function numberedByModel(runs) {
  const keys = runs.map((run) => `${denseModel(run)} ${run.seed}`);
  const numbers = new Map([...new Set(keys)].map((key, i) => [key, i]));
  return runs.map((run, i) => ({ ...run, seed: numbers.get(keys[i]) }));
}

/** Of what was pruned. */
export const ratesOf = (runs) =>
  [...new Set([...plannedRates, ...runs.map(({ rate }) => rate)])]
    .filter((rate) => rate > 0)
    .sort((a, b) => a - b);

function methodsAt(rate, results) {
  const others = results.filter((result) => result.rate === rate).map(({ method }) => method);
  const extra = [...new Set(others)].filter((method) => !plannedMethods.includes(method));
  return [...extra, ...plannedMethods];
}

/** 2e-3, 16e-3: rates of one column are read beside each other. */
const exponential = (rate) => `${Number((1000 * rate).toPrecision(6))}e-3`;

/** Of the models that the runs began with; a run from random weights began with none. */
export function denseOf(members) {
  const pruned = members.filter(({ method }) => method !== 'scratch');
  return pruned.length === 0 ? none : span(pruned.map(({ denseAccuracy }) => denseAccuracy));
}

function afterCut(members) {
  const values = members.flatMap((run) => run.afterCut ?? []);
  return values.length === 0 ? none : span(values);
}

function span(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)].map(points);
  return low === high ? low : `${low} to ${high}`;
}

/** 1 to 5, or 1, 3. */
function numbers(seeds) {
  const [first] = seeds;
  const last = seeds.at(-1);
  const isWhole = seeds.length > 2 && last - first === seeds.length - 1;
  return isWhole ? `${first} to ${last}` : seeds.join(', ');
}

const each = (members) => members.map(({ accuracy }) => points(accuracy)).join(', ');

export const meanText = ({ accuracy, deviation }) =>
  deviation === null ? points(accuracy) : `${points(accuracy)} ± ${points(deviation)}`;

/** A test for each pair of methods and rate that have runs from one dense model, with the number that Holm's correction is over. */
export function testsOf(runs) {
  const rates = ratesOf(runs);
  return pairs.flatMap((methods) => {
    const tests = methodTests(methods, rates, numberedByModel(runs));
    const tested = tests.filter(({ p }) => p !== null).length;
    return rates.flatMap((rate) => {
      const test = tests.find((one) => one.rate === rate);
      return test === undefined ? [] : [{ methods, rate, tested, test }];
    });
  });
}

/** None where no two methods have a seed in common. */
function differences(set, runs) {
  const rows = testsOf(runs);
  if (rows.length === 0) return [];
  const known = (field, text) => (row) => row.test?.[field] == null ? none : text(row); // prettier-ignore
  const columns = [
    { title: 'difference of', cell: ({ methods }) => methods.map(methodLabel).join(' - '), left: true }, // prettier-ignore
    { title: 'removed', cell: ({ rate }) => removed(rate) },
    { title: 'pairs', cell: ({ test }) => String(test?.pairs ?? 0) },
    { title: 'points', cell: known('difference', ({ test }) => pointsText(test.difference)) },
    { title: '95% interval', cell: known('interval', ({ test }) => test.interval.map((end) => pointsText(end)).join(' to ')) }, // prettier-ignore
    { title: 'p', cell: known('p', ({ test }) => pText(test.p)) },
    { title: 'p by Holm', cell: known('pHolm', ({ test, tested }) => `${pText(test.pHolm)} of ${tested}`) }, // prettier-ignore
    { title: 'ahead', cell: known('pHolm', ahead), left: true },
  ];
  return [
    `The differences on ${setName(set)} are over the seeds that both methods have from one dense model.\n\n${markdownTable(columns, rows)}`,
  ];
}

function ahead(row) {
  return isShown(row) ? methodLabel(inOrder(row)[0]) : 'neither is shown to be';
}

/** Whether the corrected test says that the two methods differ. */
export const isShown = ({ test }) => test.pHolm !== null && test.pHolm < 1 - test.confidence;

/** The two methods of a test, the one of the higher mean first. */
export const inOrder = ({ methods, test }) =>
  test.difference > 0 ? methods : methods.toReversed();
