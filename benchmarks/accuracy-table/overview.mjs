// The short table of docs/results.md: a row for each set and rate, with the means of the methods beside each other. It has the
// methods that are planned and, where it was run, training from random weights.
import { methodLabel, methodResults } from 'mamba-prune/internal';
import { markdownTable } from '../markdown-table.mjs';
import * as tables from './tables.mjs';

/** Only rows for which there are runs. */
export function overviewOf(runs) {
  const rows = tables.setsOf(runs).flatMap((set) => rowsOf(runs.filter((run) => run.set === set)));
  const columns = [
    { title: 'data', cell: dataName, left: true },
    { title: 'removed', cell: ({ rate }) => tables.removed(rate) },
    { title: 'dense', cell: ({ members }) => tables.denseOf(members) },
    ...columnMethods(runs).map((method) => ({
      title: methodLabel(method),
      cell: ({ results }) => meanWithSeeds(results.find((one) => one.method === method)),
    })),
    { title: 'shown to be ahead', cell: shown, left: true },
  ];
  return markdownTable(columns, rows);
}

function columnMethods(runs) {
  const hasScratch = runs.some(({ method }) => method === 'scratch');
  return [...tables.plannedMethods, ...(hasScratch ? ['scratch'] : [])];
}

function rowsOf(runs) {
  const tests = tables.testsOf(runs);
  return tables.ratesOf(runs).flatMap((rate) => {
    const members = runs.filter((run) => run.rate === rate);
    if (members.length === 0) return [];
    const results = methodResults([rate], members);
    return [{ rate, members, results, tests: tests.filter((test) => test.rate === rate) }];
  });
}

function dataName({ members: [{ set, images }] }) {
  return tables.setName(set) + (images === undefined ? '' : ` (${images})`);
}

const meanWithSeeds = (result) =>
  result === undefined ? tables.none : `${tables.meanText(result)} (${result.seeds.length})`;

function shown({ tests }) {
  const pairs = tests.filter(tables.isShown).map((test) => tables.inOrder(test).map(methodLabel));
  return pairs.length === 0 ? 'none' : pairs.map((pair) => pair.join(' over ')).join(', ');
}
