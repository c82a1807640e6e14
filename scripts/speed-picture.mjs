// Draws how many times as fast ours is as PyTorch and onnxruntime, from the tables of docs/results/cpu.md and gpu.md.
//
//     node scripts/speed-picture.mjs            writes docs/images/speed.svg and speed.zh-CN.svg
//     node scripts/speed-picture.mjs FOLDER     writes them there
//
// A bar is the ratio that the table prints; nothing is measured or computed here.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { style } from './concept-picture/style.mjs';
import { readFlags } from './script-flags.mjs';

const page = (name) =>
  readFileSync(new URL(`../docs/results/${name}`, import.meta.url), 'utf8').split('\n');

/** The cells of the first table of a page that has this column. */
function table(name, column) {
  const lines = page(name);
  const start = lines.findIndex((line) => line.startsWith('|') && line.includes(`| ${column}`));
  if (start < 0)
    throw new Error(`speed-picture: ${name} has no table with the column "${column}".`);
  const rows = lines.slice(start);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  const [head, , ...body] = rows.slice(0, end).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim())); // prettier-ignore
  return body.map((cells) => Object.fromEntries(cells.map((cell, i) => [head[i], cell])));
}

/** 18.4 of "18.4x (11.9 to 29.0)"; none of an empty cell. */
function ratio(cell) {
  if (cell === '') return undefined;
  const [, number] = /^([\d.]+)x/.exec(cell) ?? [];
  if (number === undefined) throw new Error(`speed-picture: "${cell}" is no ratio such as 2.5x.`);
  return Number(number);
}

const onCpu = table('cpu.md', 'plain PyTorch').map((row) => ({
  name: row.what,
  bars: [ratio(row['times as fast (low to high)']), ratio(row['times as fast as it'])],
}));
const fastest = 'PyTorch: Triton scan, compiled, graph';
const onGpu = table('gpu.md', 'time / ours')
  .filter(({ what }) => what.includes(fastest))
  .map((row) => ({
    name: `mamba_small: ${row.what.split(',')[0]}, batch ${row.batch}`,
    bars: [undefined, undefined, ratio(row['time / ours'])],
  }));
if (onGpu.length !== 2) {
  throw new Error(`speed-picture: gpu.md has ${onGpu.length} rows of "${fastest}", expected 2.`);
}

const kinds = ['stay', 'k', 'gpu'];
const english = {
  file: 'speed.svg',
  top: 'How many times as fast as PyTorch and onnxruntime',
  cpu: 'Two Zen 5 cores, float32, libtorch 1.13 and onnxruntime 1.30',
  gpu: 'One H200, bfloat16, torch 2.11',
  legend: [
    'as plain PyTorch',
    'as onnxruntime',
    'as the fastest PyTorch (Triton scan, compiled, graph)',
  ],
  note: 'The ratios of training on the CPU are of the slower of two timings of PyTorch’s step.',
  row: (name) => name,
};
const chinese = {
  file: 'speed.zh-CN.svg',
  top: '速度是 PyTorch 和 onnxruntime 的多少倍',
  cpu: 'Zen 5 的两个核，float32，libtorch 1.13，onnxruntime 1.30',
  gpu: '一块 H200，bfloat16，torch 2.11',
  legend: [
    '相对纯 PyTorch',
    '相对 onnxruntime',
    '相对最快的 PyTorch（Triton 扫描，编译，CUDA graph）',
  ],
  note: 'CPU 上训练的倍数取自 PyTorch 两次计时中较慢的一次。',
  row: (name) =>
    [
      [/, 70% removed/, ' 剪去 70%'],
      [/, 224 px/, '，224 px'],
      [/: training step/, '：训练一步'],
      [/: inference/, '：推理'],
      [/, batch (\d+)/, '，批大小 $1'],
    ].reduce((text, [from, to]) => text.replace(from, to), name),
};

const width = 900;
const zero = 390;
const most = Math.max(...[...onCpu, ...onGpu].flatMap(({ bars }) => bars.filter(Boolean)));
const scale = (width - zero - 90) / most;
const bar = 13;

const text = (x, y, content, type) => `<text x="${x}" y="${y}" class="${type}">${content}</text>`;

/** The rows of one machine below its heading, from `y` on. */
function panel(words, heading, rows, y) {
  const parts = [text(30, y, heading, 'title')];
  let at = y + 16;
  for (const { name, bars } of rows) {
    const there = bars.flatMap((value, kind) => (value === undefined ? [] : [{ value, kind }]));
    const middle = at + (there.length * (bar + 3)) / 2 + 4;
    parts.push(text(zero - 12, middle, words.row(name), 'row'));
    for (const { value, kind } of there) {
      const length = (value * scale).toFixed(1);
      parts.push(
        `<rect x="${zero}" y="${at}" width="${length}" height="${bar}" class="${kinds[kind]}"/>`,
        text((zero + value * scale + 7).toFixed(1), at + bar - 2, `${value.toFixed(1)}x`, 'size'),
      );
      at += bar + 3;
    }
    at += 9;
  }
  const one = (zero + scale).toFixed(1);
  parts.push(
    `<path class="rule one" d="M${one} ${y + 10}V${at - 4}"/>`,
    text(one, at + 9, '1x', 'plain middle'),
  );
  return { svg: parts.join(''), end: at };
}

function draw(words) {
  let x = 30;
  const legend = words.legend.map((label, kind) => {
    const mark = `<rect x="${x}" y="62" width="13" height="13" class="${kinds[kind]}"/>${text(x + 19, 73, label, 'plain')}`;
    x += 50 + [...label].reduce((sum, letter) => sum + (letter > '⺀' ? 12.5 : 6.3), 0);
    return mark;
  });
  const cpu = panel(words, words.cpu, onCpu, 110);
  const gpu = panel(words, words.gpu, onGpu, cpu.end + 26);
  const height = gpu.end + 56;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<style>${style}.gpu{fill:#2f9e77}.one{stroke-dasharray:3 4;stroke:#6b7280}</style>
<rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${text(30, 40, words.top, 'top')}${legend.join('')}
${cpu.svg}
${gpu.svg}
${text(30, height - 16, words.note, 'plain')}
</svg>
`;
}

const { positionals } = readFlags({}, { most: 1, what: 'one folder at most' });
const [folder = fileURLToPath(new URL('../docs/images', import.meta.url))] = positionals;
mkdirSync(folder, { recursive: true });
for (const words of [english, chinese]) writeFileSync(join(folder, words.file), draw(words));
