// What a model is called where people read it: its architecture, and the sizes that are not those of the architecture,
// so that the same name never stands for two models. Loads no native code.
import { findFamily, modelOptions } from './families.js';
import { defaultPatch, namedPatch } from './default-patch.js';
import { denseConfig } from './dense-config.js';

/** Before others: what changes a model most. `headDim` is of files of other programs, which name no heads. */
const first = [
  'dModel',
  'depth',
  'patchSize',
  'stride',
  'dState',
  'dConv',
  'expand',
  'mlpRatio',
  'heads',
  'headDim',
];
const other: readonly (readonly [string, string])[] = [['headDim', 'head_dim']];

/** Names of configurations' entries with what they are called, in the order in which they are shown. */
function labels(): (readonly [key: string, label: string])[] {
  const named = modelOptions().flatMap(({ name, label }): (readonly [string, string])[] =>
    label === undefined ? [] : [[name, label]],
  );
  const rank = (key: string): number => (first.includes(key) ? first.indexOf(key) : first.length);
  return [...named, ...other].sort(([a], [b]) => rank(a) - rank(b));
}

/**
 * `mamba_nano`, or `mamba_nano (d_model 128, depth 2)` for sizes of its own.
 * @param sizes - a model's configuration, whole or in part; what it lacks is taken for the architecture's
 */
export function modelLabel(arch: string, sizes: object = {}): string {
  const given = sizes as Readonly<Record<string, unknown>>;
  const usual = usualSizes(arch, given['imageSize']);
  if (!usual) return arch;
  // Patches side by side are no news, whatever their size.
  const stride = given['patchSize'] ?? usual['patchSize'] ?? usual['stride'];
  const expected: Readonly<Record<string, unknown>> = { ...usual, stride };
  const own = labels().flatMap(([key, name]) => {
    const value = textOf(given[key]);
    return value === '' || value === textOf(expected[key]) ? [] : [`${name} ${value}`];
  });
  return own.length === 0 ? arch : `${arch} (${own.join(', ')})`;
}

/** Of a number, a word or a list of numbers; empty for anything else. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join('-');
  return typeof value === 'number' || typeof value === 'string' ? String(value) : '';
}

/** Of a dense model of the architecture; undefined for a name or an image that it does not know. */
function usualSizes(
  arch: string,
  imageSize: unknown,
): Readonly<Record<string, unknown>> | undefined {
  if (!findFamily(arch)) return undefined;
  try {
    // Without images any patch that was chosen is news, but that of an architecture that names one.
    if (typeof imageSize !== 'number')
      return { ...denseConfig(arch, {}), patchSize: namedPatch(arch) };
    return { ...denseConfig(arch, { imageSize, patchSize: defaultPatch(arch, imageSize) }) };
  } catch {
    return undefined;
  }
}
