// The README repeats figures of the pages of results: a figure that changes in one place and not in the other is found here.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = new URL('../', import.meta.url);

/** A page with one space where it has several, and without the marks of bold text. */
const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(name, root)), 'utf8')
    .replaceAll('**', '')
    .replaceAll(/ {2,}/g, ' ');

const readme = read('README.md');
const inOneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

/** The first line with a text, after another text where several lines have it. */
function line(page: string, text: string, after = ''): string {
  const rest = page.includes(after) ? page.slice(page.indexOf(after)) : '';
  const found = rest.split('\n').find((each) => each.includes(text));
  if (found === undefined) throw new Error(`no line with "${text}" after "${after}"`);
  return found;
}

/** The numbers of two characters and more, but for those of days. */
const figures = (text: string): string[] =>
  [...text.replaceAll(/\d+ November/g, '').matchAll(/\d+(?:[.,]\d+)*/g)]
    .map(([figure]) => figure)
    .filter((figure) => figure.length > 1);

interface Source {
  /** How a row of the README's tables begins. */
  readonly row: string;
  readonly page: string;
  /** What the lines contain that have the row's figures. */
  readonly lines: readonly string[];
  /** A text that stands before these lines, where the page has several like them. */
  readonly after?: string;
}

const at70 = 'docs/results/70-percent.md';
const at90 = 'docs/results/90-percent.md';
const gpu = 'docs/results/gpu.md';
const compiled = 'PyTorch: Triton scan, compiled, graph';

// prettier-ignore
const sources: Source[] = [
  { row: '| CIFAR-10 | 70% | 180 epochs: teacher alone', page: at70, lines: ['| CIFAR-10 (JPEG) | one-shot | 180, 0.8, 1 |'] },
  { row: '| CIFAR-100 | 70% | 180 epochs: teacher alone', page: at70, lines: ['| CIFAR-100 | one-shot | 180, 0.8, 1 |'] },
  { row: '| CIFAR-10 | 70% | 90 epochs: teacher alone', page: at70, lines: ['| CIFAR-10 (JPEG) | one-shot | 90, 0.2, 0.5 |'] },
  { row: '| CIFAR-100 | 70% | 90 epochs: teacher alone', page: at70, lines: ['| CIFAR-100 | one-shot | 90, 0.2, 0.5 |', '| CIFAR-100 | RSST | 90, 0.2, 0.5 |'] },
  { row: '| CIFAR-10 | 70% | 42 epochs', page: at70, lines: ['| after training |', '| mean, to dense |'] },
  { row: '| CIFAR-100 | 90% | 90 epochs: teacher alone', page: at90, after: '## 90 epochs', lines: ['The dense model has', '| Refill | 4e-3 |', '| RSST | 4e-3 |'] },
  ...['70%', '90%'].flatMap((rate) => [
    { row: `| CIFAR-10 | ${rate} | 40 epochs: labels |`, page: 'docs/results.md', lines: [`| CIFAR-10 (JPEG copy) | ${rate} |`] },
    { row: `| CIFAR-100 | ${rate} | 40 epochs: labels |`, page: 'docs/results.md', lines: [`| CIFAR-100 | ${rate} |`] },
  ]),

  { row: '| two Zen 3 cores, inference, batch 1 |', page: at70, lines: ['| 2 CPU cores, float32, batch 1 |'] },
  { row: '| two Zen 3 cores, inference, batch 64 |', page: at70, lines: ['| 2 CPU cores, float32, batch 64 |'] },
  { row: '| H200, inference, batch 512, images/s |', page: at70, lines: ['| H200, bf16, batch 512, images/s |'] },
  { row: '| H200, training, batch 512, images/s |', page: gpu, lines: ['| dense, with the kernels before | 512 |', '| 70% of channels and neurons removed | 512 |', 'There the model without 70% trained'] },
  { row: '| H200, inference of one image |', page: gpu, after: '| inference |', lines: ['| dense | 1 |', '| 70% of channels and neurons removed | 1 |', 'Without 70% one image is'] },

  ...[
    'mamba_small: training step, batch 32', 'mamba_small: inference, batch 32', 'mamba_small: inference, batch 1', 'mamba_small, 70% removed: training step, batch 32',
    'mamba_small, 70% removed: inference, batch 32', 'mamba_small, 70% removed: inference, batch 1', 'vim_tiny, 224 px: inference, batch 1',
  ].map((what) => ({ row: `| ${what} |`, page: 'docs/results/cpu.md', lines: [`| ${what} |`] })),

  { row: '| mamba_small: training, batch 512 |', page: gpu, after: '## Beside PyTorch', lines: ['| training step, ours | 512 |', `| training step, ${compiled} | 512 |`] },
  { row: '| mamba_small: training, batch 128 |', page: gpu, after: '## Beside PyTorch', lines: ['| training step, ours | 128 |', `| training step, ${compiled} | 128 |`] },
  { row: '| mamba_small: inference, batch 512 |', page: gpu, after: '## Beside PyTorch', lines: ['| inference, ours | 512 |', `| inference, ${compiled}¹ | 512 |`] },
  { row: '| mamba_small: inference of one image |', page: 'docs/performance/gpu-inference.md', after: '## Few images', lines: ['| 1 |', 'times as fast as the compiled one'] },
  { row: '| vim_tiny, 224 px: training, batch 128 |', page: 'docs/performance/vim.md', lines: ['| training step, ours, before¹ | 128 |', '| the same, compiled | 128 |'] },
  { row: '| vim_tiny, 224 px: inference, batch 128 |', page: 'docs/performance/vim.md', after: '| inference, ours | 128 |', lines: ['| inference, ours | 128 |', '| the same, compiled | 128 |'] },
];

/** What the README says, the page that it links to, and what that page says of the same. */
// prettier-ignore
const claims: [string, string, string][] = [
  ['after 180 epochs with the dense model as its teacher it loses 0.1 points of accuracy on CIFAR-10', 'docs/results.md', 'CIFAR-10: 0.06 points, 94.04% from 94.10%'],
  ['gains a point on CIFAR-100 (one seed)', 'docs/results.md', 'CIFAR-100: nothing, 80.25% from 79.08%'],
  ['after 180 epochs with the dense model', at70, 'After 180 epochs 70% of the units cost 0.06 points on CIFAR-10, and on CIFAR-100 the pruned model is 1.17 points better'],
  ['is two to three times as fast on CPUs and GPUs', 'docs/results.md', '2.05 times on an H200 at batch 512; 2.55 and 2.93 times on two cores of a Zen 3'],
  ['70% removed cost nothing to 0.1 points in 180 epochs', 'docs/results.md', '70% cost nothing to 0.1 points in 180 epochs'],
  ['a fresh model of the small widths ends 4 to 9 points lower', 'docs/results.md', 'it ends 4 to 9 points lower'],
  ['it ends 1 to 3 points higher', 'docs/results/from-scratch.md', 'ends 1 to 3 points above the pruned ones'],
  ['for a tenth to a third of the computation', 'docs/results/from-scratch.md', 'costs a tenth to a third of their computation'],
  ['a fresh model has 70.92% on CIFAR-100', at90, '| a fresh model of the same widths | 4e-3 | | 70.92 |'],
  ['a fresh model has 70.92% on CIFAR-100', 'docs/results/from-scratch.md', '70.92% with 90% removed on CIFAR-100'],
  ['of 93.84 and 78.95%', at90, '| CIFAR-100 | 1 to 5 | 78.95 |'],
  ['of 93.84 and 78.95%', at90, '| CIFAR-10 (JPEG) | 1 to 5 | 93.84 |'],
  ['With 90% removed after 60 of 190 epochs the model has 75.3 to 75.6% on CIFAR-100, and 72.7 to 73.2% when it is cut after 150', 'docs/results.md', 'With 90% removed after 60 of 190 epochs the model has 75.3 to 75.6% on CIFAR-100, and 72.7 to 73.2% when it is cut after 150'],
  ['72.7 to 73.2% when it is cut after 150', 'docs/results/when-to-cut.md', '72.69 | 1 |'],
  ['94.17% on CIFAR-10 in 8 min 41 s', 'docs/results.md', '94.17% on CIFAR-10 after 8 min 41 s'],
  ['94.17% on CIFAR-10 in 8 min 41 s', 'docs/results/dense-models.md', '8:41 | 94.17%'],
  ['the only lead over one-shot is 0.14 points, of RSST at 70% on CIFAR-10', 'docs/results.md', 'is 0.14 points, of RSST over one-shot at 70% on CIFAR-10'],
  ['91.59 to 92.05% right after it and Refill 82.87 to 83.35%, from 93.54%', 'docs/results.md', '91.59 to 92.05% and Refill 82.87 to 83.35%, from 93.54%'],
  ['91.59 to 92.05% right after it and Refill 82.87 to 83.35%', at70, '| 82.87, 83.15, 83.35 | 91.59, 91.77, 92.05 |'],
  ['in 6 and 12 epochs at 90% RSST ends 0.3 to 1.2 points under Refill and 0.5 to 1.4 under one-shot', 'docs/results.md', 'RSST ends 0.3 to 1.2 points under Refill and 0.5 to 1.4 under one-shot'],
  ['3.17 times fewer parameters (13.2 M to 4.16 M) and 3.18 times fewer MACs', at70, '| parameters | 13.2 M | 4.16 M (3.17x) |'],
  ['3.17 times fewer parameters (13.2 M to 4.16 M) and 3.18 times fewer MACs', at70, '| MACs | 858 M | 270 M (3.18x) |'],
  ['5.4 to 18.5 times as fast as plain PyTorch', 'docs/results/cpu.md', '5.4 to 18.5 times as fast as plain PyTorch'],
  ['5.4 to 18.5 times as fast as plain PyTorch', 'docs/results.md', '5.4 to 18.5 times as fast as plain PyTorch'],
  ['2.1 to 5.2 times as fast as onnxruntime', 'docs/results/cpu.md', '2.1 to 5.2 times as fast as onnxruntime'],
  ['2.1 to 5.2 times as fast as onnxruntime', 'docs/results.md', '2.1 to 5.2 times as fast as onnxruntime'],
  ['(541 GFLOP/s)', 'docs/results/cpu.md', 'Matrix products reached 541 GFLOP/s'],
  ['trains on 20,022 images/s at batch 128 and on 30,345 at 2,048', gpu, '| dense | 128 | 6.39 | | 20,022 |'],
  ['trains on 20,022 images/s at batch 128 and on 30,345 at 2,048', gpu, '| dense | 2,048 | 67.49 | | 30,345 |'],
  ['trains on 20,022 images/s at batch 128 and on 30,345 at 2,048', 'docs/performance.md', '| training step | 2,048 | 67.49 | 30,345 |'],
  ['and `vim_tiny` on 5,247', 'docs/performance/vim.md', '| 24.39 | 5,247 |'],
  ['Training takes 11 to 46% of plain PyTorch\'s memory', 'docs/results.md', 'Training takes 11 to 46% of plain PyTorch\'s'],
  ['0.9 to 1.04 times as much on a CPU, and 0.69 to 0.98 times on a GPU', 'docs/results.md', '0.69 to 0.98 times PyTorch\'s on a GPU, and 0.9 to 1.04 times on a CPU'],
  ['0.9 to 1.04 times as much on a CPU', 'docs/results/memory.md', 'At inference it takes 0.9 to 1.04 times as much'],
  ['0.69 to 0.98 times on a GPU', 'docs/results/memory.md', 'inference 69 to 98% of it'],
  ['Two H200s train 1.91 times as fast as one, and four 3.74 times', gpu, 'Two H200s train 1.91 times as fast as one, and four 3.74 times'],
  ['Two H200s train 1.91 times as fast as one, and four 3.74 times', 'docs/performance.md', 'Two H200s train 1.91 times as fast as one, and four 3.74 times'],
  ['accuracy 88.63% dense and 88.67% pruned, 3.16x fewer parameters, 2.61x faster at batch 64', 'docs/results/quickstart.md', '| accuracy | 88.63% | 88.67% |'],
  ['accuracy 88.63% dense and 88.67% pruned, 3.16x fewer parameters, 2.61x faster at batch 64', 'docs/results/quickstart.md', '| 3.16x smaller |'],
  ['accuracy 88.63% dense and 88.67% pruned, 3.16x fewer parameters, 2.61x faster at batch 64', 'docs/results/quickstart.md', '| 2.61x faster'],
  ['It takes half a minute to three minutes', 'docs/results/quickstart.md', 'It takes half a minute to three minutes'],
];

describe("the README's tables", () => {
  it.each(sources)('have figures of $page: $row', ({ row, page, lines, after }) => {
    const text = read(page);
    const there = new Set(lines.flatMap((each) => figures(line(text, each, after))));
    const here = figures(line(readme, row).replace(row, ''));
    expect(here).not.toEqual([]);
    expect(here.filter((figure) => !there.has(figure))).toEqual([]);
  });

  it('have the figures of docs/performance.md, where that has a row of the same name', () => {
    const rows = read('docs/performance.md')
      .replaceAll('`', '')
      .split('\n')
      .filter((row) => figures(row).length > 0);
    const same = rows.flatMap((row) => {
      const [name = ''] = /^\| [^|]+ \|/.exec(row) ?? [];
      return name !== '' && readme.includes(`\n${name}`) ? [{ row, name }] : [];
    });
    expect(same).toHaveLength(7);
    const others = same.filter(({ row, name }) => {
      const here = figures(line(readme, name));
      return figures(row).some((figure) => !here.includes(figure));
    });
    expect(others).toEqual([]);
  });

  it('are tied to a page row by row, where they have measurements', () => {
    const results = readme.slice(readme.indexOf('## Results'), readme.indexOf('## Install'));
    const rows = results
      .split('\n')
      .filter((each) => each.startsWith('| ') && /\d[.,]\d/.test(each));
    expect(rows.filter((each) => !sources.some(({ row }) => each.startsWith(row)))).toEqual([]);
  });
});

describe("the README's claims", () => {
  it.each(claims)('%s: %s', (claim, page, there) => {
    expect(inOneLine(readme)).toContain(claim);
    expect(inOneLine(read(page))).toContain(there);
  });

  it('have the lowest and the highest ratio of their tables', () => {
    const ratios = (rows: RegExp, column: number): string => {
      const cells = readme
        .split('\n')
        .filter((each) => rows.test(each))
        .map((each) => each.split('|')[column] ?? '');
      const values = cells.flatMap((cell) => /([\d.]+)x/.exec(cell)?.[1] ?? []).map(Number);
      return `${Math.min(...values)} to ${Math.max(...values)} times`;
    };
    const cpu = /^\| (?:mamba|vim).*%/;
    expect(readme).toContain(`ours is ${ratios(cpu, 3)} as fast as plain PyTorch`);
    expect(readme).toContain(`infers ${ratios(cpu, 4)} as fast as onnxruntime`);
    const training = ratios(/^\| (?:mamba|vim).*: training.*November/, 4);
    const inference = ratios(/^\| (?:mamba|vim).*: inference.*November/, 4);
    expect(readme).toContain(`ours trains ${training} and infers ${inference} as fast as`);
  });
});
