// Which architectures there are and what they can be told. Loads no native code, so that the command
// line can list and check names before any work.
import { UsageError } from '../errors.js';
import { printableLine } from '../printable.js';
import { type ModelOptions, mambaArchitectures } from './mamba/config.js';
import { listed } from './config-checks.js';
import { resnetArchitectures, resnetOptionNames } from './resnet/config.js';
import { vitArchitectures, vitOptionNames } from './vit/config.js';

type OptionName = keyof ModelOptions;

const mambaOptionNames = [
  'numClasses',
  'imageSize',
  'channels',
  'patchSize',
  'scan',
  'dropPath',
  'dModel',
  'depth',
  'dState',
  'dConv',
  'expand',
  'mlpRatio',
] as const satisfies readonly OptionName[];

/** The options of `ModelOptions` that a vision Mamba has. */
export type MambaOptions = Pick<ModelOptions, (typeof mambaOptionNames)[number]>;

interface FamilyNames {
  readonly architectures: readonly string[];
  readonly options: readonly OptionName[];
}

/** By family: the names of its architectures, and the options that it has. */
export const familyNames = {
  mamba: { architectures: Object.keys(mambaArchitectures), options: mambaOptionNames },
  vit: { architectures: Object.keys(vitArchitectures), options: vitOptionNames },
  resnet: { architectures: Object.keys(resnetArchitectures), options: resnetOptionNames },
} as const satisfies Record<string, FamilyNames>;

export type FamilyName = keyof typeof familyNames;

/** Every architecture that `createModel` knows. */
export function modelNames(): string[] {
  return Object.values(familyNames).flatMap(({ architectures }) => architectures);
}

/** The family of an architecture. @throws UsageError for an unknown name, with the known ones */
export function familyOf(arch: string): FamilyName {
  const found = Object.entries(familyNames).find(([, { architectures }]) =>
    architectures.includes(arch),
  );
  if (!found) {
    throw new UsageError(
      `model: got '${printableLine(arch)}', expected one of ${modelNames().join(', ')}`,
    );
  }
  return found[0] as FamilyName;
}

/** The options that an architecture can be told. @throws UsageError for an unknown name */
export function modelOptionNames(arch: string): readonly OptionName[] {
  return familyNames[familyOf(arch)].options;
}

/** @throws UsageError naming the options given that the architecture does not have */
export function checkModelOptions(arch: string, options: ModelOptions): void {
  const known: readonly string[] = modelOptionNames(arch);
  const foreign = Object.entries(options)
    .filter(([name, value]) => value !== undefined && !known.includes(name))
    .map(([name]) => `'${name}'`);
  if (foreign.length === 0) return;
  throw new UsageError(
    `${arch}: got the option ${listed(foreign)}, expected some of ${listed(known, known.length)}. ` +
      'Leave it out, or choose an architecture that has it.',
  );
}
