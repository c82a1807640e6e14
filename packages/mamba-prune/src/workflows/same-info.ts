// What was said of a model held against what its file says.
import { defined } from '../defined.js';
import { UsageError } from '../errors.js';
import { checkModelOptions, families } from '../models/families.js';
import { lengthProblem } from '../models/file-checks.js';
import type { ModelConfigBase } from '../models/image-model.js';
import { type ImportOptions, ownClassifier } from '../models/import/model.js';
import type { ModelInfo } from '../models/model-file.js';
import { preprocessingOf } from '../preparation/preprocessing.js';
import { printableLine } from '../printable.js';

/** What was assumed when the model was imported. */
export function assumedIn({ history }: Pick<ModelInfo, 'history'>): string[] {
  const { assumed } = history.find(({ step }) => step === 'import') ?? {};
  return Array.isArray(assumed) ? assumed.filter((text) => typeof text === 'string') : [];
}

/**
 * Holds what was said against a description of a model.
 * @returns it, with the names of the classes where it has none
 * @throws UsageError naming what differs, or an option that such a model does not have
 */
export function sameInfo<
  I extends Pick<ModelInfo, 'classes' | 'mean' | 'std' | 'dataset' | 'preprocessing'>,
>(
  path: string,
  config: Pick<ModelConfigBase, 'family' | 'arch' | 'numClasses' | 'imageSize'>,
  info: I,
  said: ImportOptions,
): I {
  const { classes, mean, std, arch, ...more } = said;
  if (more.key !== undefined) {
    throw new UsageError(
      `import: got \`key\` '${more.key}' for ${path}, which describes itself and has no keys. Leave it out.`,
    );
  }
  if (more.classifier !== undefined) throw ownClassifier(path, more.classifier);
  if (
    more.resamplePositions === true &&
    (more.imageSize ?? config.imageSize) !== config.imageSize
  ) {
    throw new UsageError(
      `${path}: got \`resamplePositions\` for a file that describes itself, expected one of another program: only of these positions ` +
        `are resampled. Leave it out, and use images of ${config.imageSize} px.`,
    );
  }
  // What is no part of a description.
  const about = {
    key: undefined,
    classifier: undefined,
    dataset: undefined,
    allowNotFinite: undefined,
  };
  // Said for files that do not tell it; one of ours does.
  const sizes = defined({ ...more, ...about, oneDirection: undefined });
  const isNamed = info.classes.length > 0;
  const given = { arch, ...sizes, mean, std, classes: isNamed ? classes : undefined };
  const has: Readonly<Record<string, unknown>> = {
    ...familyUsual(config),
    ...config,
    ...headsOf(config),
    ...(info as Partial<ModelInfo>),
    ...preprocessingOf(info, config.imageSize),
  };
  const wrong = Object.entries(given).filter(
    ([name, value]) =>
      value !== undefined && name in has && JSON.stringify(value) !== JSON.stringify(has[name]),
  );
  if (wrong.length > 0) {
    const list = wrong.map(
      ([name, value]) => `\`${name}\` ${shown(has[name])}, asked for ${shown(value)}`,
    );
    throw new UsageError(
      `${path}: got a model of ${list.join('; ')}. Leave these options out: the file describes itself.`,
    );
  }
  const foreign = Object.entries(sizes).filter(([name]) => !(name in has));
  if (foreign.length > 0) checkModelOptions(config.arch, Object.fromEntries(foreign));
  if (isNamed || classes === undefined) return info;
  const [problem] = lengthProblem('`classes`', classes, config.numClasses);
  if (problem !== undefined) throw new UsageError(`${path}: ${problem}`);
  return { ...info, classes: [...classes] };
}

/** Of a ViT, whose description has their width in place of their number. */
export function headsOf(config: object): { readonly heads?: number } {
  const { dModel, headDim } = config as { readonly dModel?: number; readonly headDim?: number };
  return dModel === undefined || headDim === undefined ? {} : { heads: dModel / headDim };
}

function shown(value: unknown): string {
  const text = Array.isArray(value) ? value.join(',') : String(value);
  return printableLine(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}

/** What its configuration names only where it has another value; an ONNX file may be of a family that is not known. */
const familyUsual = ({ family }: { readonly family: string }): Readonly<Record<string, unknown>> =>
  families().find(({ name }) => name === family)?.usual ?? {};
