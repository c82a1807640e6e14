// The rows of `bench.mjs` as one Markdown table, and one sentence for each group of them.
import { printedTable } from '../printed-table.mjs';

/** Three digits; thousands with a comma. */
export function inMs(ms) {
  if (ms === undefined) return '';
  const digits = ms >= 100 ? 0 : ms >= 10 ? 1 : 2;
  const fixed = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return `${ms.toLocaleString('en-US', fixed)} ms`;
}

const times = (ratio) => ratio.toFixed(1);

/** How many times as fast ours is, and in which rounds least and most. */
export function faster(peer) {
  if (peer === undefined) return '';
  const { median, lowest, highest } = peer.timesAsFast;
  // One round has no spread.
  const spread = lowest === highest ? '' : ` (${times(lowest)} to ${times(highest)})`;
  return `${times(median)}x${spread}`;
}

const percent = (share) => (share === undefined ? '' : `${Math.round(100 * share)}%`);

const limitCell = (limit) => (limit === undefined ? '' : `${inMs(limit.ms)}, ${limit.by}`);

const onnxColumns = [
  { title: 'onnxruntime', cell: ({ onnx }) => inMs(onnx?.ms) },
  { title: 'times as fast as it', cell: ({ onnx }) => faster(onnx) },
];

const columns = (rows) => [
  { title: 'what', cell: ({ group, title }) => `${group}: ${title}`, left: true },
  { title: 'ours', cell: ({ oursMs }) => inMs(oursMs) },
  { title: 'plain PyTorch', cell: ({ torch }) => inMs(torch?.ms) },
  { title: 'times as fast (low to high)', cell: ({ torch }) => faster(torch) },
  ...(rows.some(({ onnx }) => onnx !== undefined) ? onnxColumns : []),
  { title: 'limit of this machine', cell: ({ limit }) => limitCell(limit) },
  { title: 'share of the limit', cell: ({ share }) => percent(share) },
];

/** @returns the table for `terminal`; the columns of onnxruntime are there where a row has it */
export function tableOf(rows, terminal = process.stdout) {
  return printedTable(columns(rows), rows, terminal);
}

/** Such as `4.4 (training step, batch 32) to 12.4 (inference, batch 1)`. */
function range(rows, valueOf, text) {
  const values = rows
    .map((row) => ({ value: valueOf(row), title: row.title }))
    .filter(({ value }) => value !== undefined)
    .sort((a, b) => a.value - b.value);
  if (values.length === 0) return undefined;
  const [low, high] = [values[0], values.at(-1)];
  if (text(low.value) === text(high.value)) return text(low.value);
  return `${text(low.value)} (${low.title}) to ${text(high.value)} (${high.title})`;
}

/** @returns one sentence about the rows of a group, which `all` rows are among: what is known of them, in words */
function verdictOf(group, rows, all) {
  const asFast = (peer) => range(rows, (row) => row[peer]?.timesAsFast.median, times);
  const denseOf = ({ dense }) => all.find(({ name }) => name === dense)?.oursMs;
  const gain = (row) =>
    row.dense === undefined || denseOf(row) === undefined || row.oursMs === undefined
      ? undefined
      : denseOf(row) / row.oursMs;
  const torch = asFast('torch');
  const onnx = asFast('onnx');
  const share = range(rows, (row) => row.share, percent);
  const gained = range(rows, gain, times);
  const parts = [
    torch && `${torch} times as fast as plain PyTorch`,
    onnx && `${onnx} times as fast as onnxruntime`,
    gained && `${gained} times as fast as the whole model`,
    share && `at ${share} of what this machine allows`,
  ].filter((part) => part !== undefined);
  if (parts.length === 0) return `**${group}**: nothing was measured.`;
  const last = parts.pop();
  return `**${group}**: ours is ${parts.length === 0 ? last : `${parts.join(', ')}, and ${last}`}.`;
}

/** @returns one sentence for each group, in the order of the rows */
export function verdictsOf(rows) {
  const groups = [...new Set(rows.map(({ group }) => group))];
  return groups.map((group) =>
    verdictOf(
      group,
      rows.filter((row) => row.group === group),
      rows,
    ),
  );
}
