/**
 * The families of architectures: the one list, and what is asked of it by name. A user's own family is added by
 * `registerFamily`; after that every part of the program knows it.
 */
import { UsageError } from '../errors.js';
import { shown } from '../checks.js';
import { registeredBy } from '../plugins.js';
import { listed, printableLine } from '../printable.js';
import type { Family, GroupKind, ModelOption } from './family.js';
import { checkFamily } from './family-checks.js';
import type { ModelConfigBase } from './image-model.js';
import { mambaFamily } from './mamba/family.js';
import type { ModelOptions } from './model-options.js';
import { resnetFamily } from './resnet/family.js';
import { vimFamily } from './vim/family.js';
import { vitFamily } from './vit/family.js';
import { vmambaFamily } from './vmamba/family.js';

/** In the order in which they are listed; a new one goes at the end. */
const registered = new Map<string, Family>(
  [mambaFamily, vitFamily, resnetFamily, vmambaFamily, vimFamily].map((family: Family) => [
    family.name,
    family,
  ]),
);

/** What has to be loaded for families of one's own, by their names. */
const modules = new Map<string, string>();

/** What has to be loaded before a file of this family can be; undefined for those that come with the program. */
export const moduleOf = (family: string): string | undefined => modules.get(family);

/**
 * Adds a family of one's own: `createModel`, `loadModel`, `saveModel`, `exportOnnx`, `importModel`, the runs and,
 * where `--plugin` names the module that calls this, the command line know its architectures from now on.
 * To register the same object again does nothing.
 *
 * @throws UsageError if something of the family is missing or malformed, or if its name, an architecture, an option
 *   or a flag means something else already
 */
export function registerFamily<C extends ModelConfigBase>(family: Family<C>): void {
  const known = registered.get((family as Partial<Family<C>> | undefined)?.name ?? '');
  if (known !== undefined && known === (family as Family)) return;
  const others = families();
  checkFamily(family, others);
  const module = registeredBy(family.module);
  if (module !== undefined) modules.set(family.name, module);
  registered.set(family.name, family);
}

/** Every family that is known. */
export const families = (): Family[] => [...registered.values()];

/**
 * The family of a configuration, by its `family`.
 * @param config.module - what a file names to be loaded first
 * @throws UsageError for one that is not registered, with what to load
 */
export function familyNamed({
  family: name,
  module,
}: {
  readonly family: string;
  readonly module?: unknown;
}): Family {
  const family = registered.get(name);
  if (family) return family;
  const known = `expected one of ${[...registered.keys()].join(', ')}`;
  const what = `model: got family ${shown(name)}`;
  throw new UsageError(
    typeof module === 'string'
      ? `${what}, which is not registered. It was written with the module ${printableLine(module)}: ` +
          `load it with \`loadPlugin\` ${printableLine(module)}, or import it before.`
      : `${what}, ${known}. A family of one's own has to be registered first: load its module with \`loadPlugin\`, or import it.`,
  );
}

/** Every architecture that `createModel` knows. */
export const modelNames = (): string[] =>
  families().flatMap(({ architectures }) => Object.keys(architectures));

/** The family of an architecture; undefined for an unknown name. */
export const findFamily = (arch: string): Family | undefined =>
  typeof (arch as unknown) === 'string'
    ? families().find(({ architectures }) => Object.hasOwn(architectures, arch))
    : undefined;

/** The family of an architecture. @throws UsageError for an unknown name, with the known ones */
export function familyOf(arch: string): Family {
  const family = findFamily(arch);
  if (family) return family;
  throw new UsageError(`model: got ${shown(arch)}, expected one of ${modelNames().join(', ')}`);
}

/** What data sets decide, so that every family has it. */
const ofImages = ['numClasses', 'imageSize', 'channels'];

/** The options that an architecture can be told. @throws UsageError for an unknown name */
export const modelOptionNames = (arch: string): string[] => [
  ...new Set([...Object.keys(familyOf(arch).options), ...ofImages]),
];

/** As messages name options: see UsageError. */
const quoted = (name: string): string => `\`${name}\``;

/** @throws UsageError naming the options given that the architecture does not have */
export function checkModelOptions(arch: string, options: ModelOptions): void {
  const known = modelOptionNames(arch);
  const foreign = Object.entries(options)
    .filter(([name, value]) => value !== undefined && !known.includes(name))
    .map(([name]) => quoted(name));
  if (foreign.length === 0) return;
  throw new UsageError(
    `${arch}: got the option ${listed(foreign)}, expected some of ${listed(known.map(quoted), known.length)}. ` +
      'Leave it out, or choose an architecture that has it.',
  );
}

/** An option with the families that have it. */
export interface SharedOption extends ModelOption {
  readonly name: string;
  /** Titles of the families, in the order of the list. */
  readonly titles: readonly string[];
}

/** Every option of a new model, once. */
export const modelOptions = (): SharedOption[] => shared((family) => family.options);

/** Every option of reading a file of another program that a new model does not have, once. */
export const readingOptions = (): SharedOption[] =>
  shared((family) => family.layout?.options ?? {});

function shared(
  tableOf: (family: Family) => Readonly<Record<string, ModelOption>>,
): SharedOption[] {
  const found = new Map<string, SharedOption>();
  for (const family of families()) {
    for (const [name, option] of Object.entries(tableOf(family))) {
      const titles = [...(found.get(name)?.titles ?? []), family.title];
      found.set(name, { ...option, name, titles });
    }
  }
  return [...found.values()];
}

/** Every kind of prunable units by name, once. */
export function groupKinds(): Map<string, GroupKind> {
  return new Map(families().flatMap(({ kinds }) => Object.entries(kinds)));
}
