// The rows measured so far as one Markdown table: means over the seeds, with the lowest and highest.

/** @param results - the rows of results.json, of one or several folders */
export function table(results) {
  const lines = [
    '| model | MACs left | by | importance | after the cut | BatchNorm measured again | trained | MACs (theirs) | parameters | cut |',
    '| --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ];
  const dense = grouped(results, ({ model }) => model);
  for (const [model, list] of dense) {
    lines.push(
      `| ${model} | 100% | not cut | | ${spread(unique(list).map(({ before }) => before))} | | | ${millions(list[0].denseMacs)} | | |`,
    );
    const cuts = grouped(list, ({ row, rate }) => `${rate} ${row}`);
    for (const rows of cuts.values()) lines.push(line(rows));
  }
  return lines.join('\n');
}

function line(rows) {
  const [first] = rows;
  const mean = (name) => average(rows.map((row) => row[name]));
  const theirs = first.theirMacs === undefined ? '' : ` (${millions(mean('theirMacs'))})`;
  const cells = [
    first.model,
    `${(100 * (mean('macs') / first.denseMacs)).toFixed(1)}%`,
    first.by === 'ours' ? 'mamba-prune' : 'Torch-Pruning',
    first.label,
    spread(rows.map(({ after }) => after)),
    spread(rows.map(({ measured }) => measured)),
    spread(rows.map(({ trained }) => trained)),
    `${millions(mean('macs'))}${theirs}`,
    thousands(mean('parameters')),
    `${mean('seconds').toFixed(2)} s`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** One row for each seed: the dense model is the same in all rows of a seed. */
const unique = (list) => [...new Map(list.map((row) => [row.seed, row])).values()];

function grouped(list, keyOf) {
  const groups = new Map();
  for (const entry of list) {
    const key = keyOf(entry);
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return groups;
}

function spread(values) {
  const known = values.filter((value) => typeof value === 'number');
  if (known.length === 0) return '';
  const percent = (share) => (100 * share).toFixed(1);
  if (known.length === 1) return percent(known[0]);
  return `${percent(average(known))} (${percent(Math.min(...known))} to ${percent(Math.max(...known))})`;
}

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const millions = (count) => `${(count / 1e6).toFixed(1)} M`;
const thousands = (count) => `${(count / 1e3).toFixed(0)} K`;
