// What a model is called where people read it: its architecture, and the sizes that are not those of the architecture,
// so that the same name never stands for two models. Loads no native code.
import { familyNames } from './architectures.js';
import { defaultPatch, namedPatch } from './default-patch.js';
import { denseConfig } from './dense-config.js';

/** In the order in which they are shown, as the options of the command line are called. */
const shown = [
  ['dModel', 'd_model'],
  ['depth', 'depth'],
  ['patchSize', 'patch'],
  ['dState', 'd_state'],
  ['dConv', 'd_conv'],
  ['expand', 'expand'],
  ['mlpRatio', 'mlp_ratio'],
  ['heads', 'heads'],
  ['headDim', 'head_dim'],
  ['stem', 'stem'],
  ['baseWidth', 'base_width'],
  ['blocks', 'blocks'],
  ['scan', 'scan'],
] as const;

/**
 * `mamba_nano`, or `mamba_nano (d_model 128, depth 2)` for sizes of its own.
 * @param sizes - a model's configuration, whole or in part; what it lacks is taken for the architecture's
 */
export function modelLabel(arch: string, sizes: object = {}): string {
  const given = sizes as Readonly<Record<string, unknown>>;
  const usual = usualSizes(arch, given['imageSize']);
  if (!usual) return arch;
  const own = shown.flatMap(([key, name]) => {
    const value = textOf(given[key]);
    return value === '' || value === textOf(usual[key]) ? [] : [`${name} ${value}`];
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
  const known = Object.values(familyNames).some(({ architectures }) =>
    (architectures as readonly string[]).includes(arch),
  );
  if (!known) return undefined;
  try {
    // Without images any patch that was chosen is news, but that of an architecture that names one.
    if (typeof imageSize !== 'number')
      return { ...denseConfig(arch, {}), patchSize: namedPatch(arch) };
    return { ...denseConfig(arch, { imageSize, patchSize: defaultPatch(arch, imageSize) }) };
  } catch {
    return undefined;
  }
}
