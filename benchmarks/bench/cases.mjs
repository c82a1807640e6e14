// What `bench.mjs` measures: the cases in the order of the table, and which of them are wanted.

/**
 * @typedef {object} Case
 * @property {string} name as `--only` takes it
 * @property {string} group rows of one group get one sentence
 * @property {string} title
 * @property {string} arch
 * @property {'train' | 'infer'} what
 * @property {number} batch
 * @property {number} rate the share of SSM channels and MLP neurons that the model is without
 * @property {number} imageSize in pixels
 * @property {string} peer the script of plain PyTorch
 * @property {{ ours: number, peer: number }} runs timed in one process, of which the median counts; a peer that takes
 *   seconds for a step gets fewer
 * @property {string} [dense] the name of the case that differs in nothing but its rate
 */

const mamba = { arch: 'mamba_small', imageSize: 32, peer: 'torch_mamba.py' };
const whats = [
  {
    name: 'train',
    title: 'training step, batch 32',
    what: 'train',
    batch: 32,
    runs: { ours: 3, peer: 2 },
  },
  {
    name: 'infer-32',
    title: 'inference, batch 32',
    what: 'infer',
    batch: 32,
    runs: { ours: 5, peer: 3 },
  },
  {
    name: 'infer-1',
    title: 'inference, batch 1',
    what: 'infer',
    batch: 1,
    runs: { ours: 31, peer: 7 },
  },
];

/** @type {Case[]} */
export const cases = [
  ...whats.map((one) => ({ ...mamba, ...one, group: 'mamba_small', rate: 0 })),
  ...whats.map((one) => ({
    ...mamba,
    ...one,
    name: `pruned-${one.name}`,
    group: 'mamba_small, 70% removed',
    rate: 0.7,
    dense: one.name,
  })),
  {
    name: 'vim',
    group: 'vim_tiny, 224 px',
    title: 'inference, batch 1',
    arch: 'vim_tiny',
    what: 'infer',
    batch: 1,
    rate: 0,
    imageSize: 224,
    peer: 'torch_vim.py',
    runs: { ours: 15, peer: 3 },
  },
];

/**
 * @param only - names separated by commas; a name that others begin with takes these too. All if undefined
 * @throws RangeError if a name takes no case
 */
export function wantedCases(only) {
  if (only === undefined) return cases;
  const words = only.split(',');
  const takes = (word, name) => name === word || name.startsWith(`${word}-`);
  for (const word of words) {
    if (cases.some(({ name }) => takes(word, name))) continue;
    const known = cases.map(({ name }) => name).join(', ');
    const message = `--only: got '${word}', expected one of ${known}, or what several of them begin with (infer, pruned).`;
    throw Object.assign(new RangeError(message), { isUsage: true });
  }
  return cases.filter(({ name }) => words.some((word) => takes(word, name)));
}
