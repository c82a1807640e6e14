// What a family must have before it is registered.
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { printableLine } from '../printable.js';
import type { Family, ModelOption } from './family.js';

const word = /^[a-z][a-z0-9_]*$/;
/** Fields of a configuration that are no options. */
const fields = ['family', 'arch', 'widths'];
/** What stands for several kinds where kinds are named. */
const targetWords = ['both', 'all'];
const flag = /^--[a-z][a-z0-9-]*$/;
const name = z.string().regex(word, 'expected a word of lower-case letters, digits and _');
const text = z.string().min(1);
const method = z.custom((value) => typeof value === 'function', 'expected a function');

const option = z.object({
  values: z.union([
    z.object({ type: z.literal(['integer', 'integers']), min: z.number(), max: z.number() }),
    z.object({ type: z.literal('number'), min: z.number(), below: z.number() }),
    z.object({ type: z.literal('number'), above: z.number(), max: z.number() }),
    z.object({ type: z.literal('choice'), choices: z.array(text).min(1) }),
    z.object({ type: z.literal('switch') }),
  ]),
  flag: z
    .string()
    .regex(/^--[a-z][a-z0-9-]*(?: [<[].+[>\]])?$/, 'expected a flag such as --tokens <n>')
    .optional(),
  help: text.optional(),
  whenNew: text.optional(),
  whenRead: text.optional(),
  label: text.optional(),
});

const familySchema = z.object({
  name,
  title: text,
  architectures: z
    .record(name, z.looseObject({}))
    .refine((table) => Object.keys(table).length > 0, 'expected one architecture at least'),
  options: z
    .record(text, option)
    .refine((table) => !fields.some((key) => Object.hasOwn(table, key)), {
      error: `expected no option named ${fields.join(', ')}, which are other fields of a configuration`,
    }),
  kinds: z
    .record(
      name,
      z.object({
        units: text,
        label: z.object({ en: text, zh: text.optional() }),
        rateFlag: z.string().regex(flag, 'expected a flag such as --tokens-rate'),
        optional: z.boolean().optional(),
      }),
    )
    .refine((table) => Object.keys(table).length > 0, 'expected one kind of groups at least')
    .refine((table) => !targetWords.some((key) => Object.hasOwn(table, key)), {
      error: `expected no kind named ${targetWords.join(', ')}, which stands for several kinds`,
    }),
  importance: text.optional(),
  denseConfig: method.optional(),
  checkConfig: method,
  create: method,
  shapes: method.optional(),
  macs: method.optional(),
  layout: z
    .object({
      classifier: method.optional(),
      functions: method.optional(),
      scaleScores: method.optional(),
      recognises: method,
      read: method,
      programs: text,
      telling: z.array(text),
      card: z.object({ names: z.instanceof(RegExp), obstacles: method }).optional(),
    })
    .optional(),
  published: z
    .array(
      z.object({
        name,
        arch: name,
        address: z
          .string()
          .regex(
            /^(?:hf:[\w.-]+\/[\w.-]+(?:@[^:\s]+)?:\S+|https?:\/\/[^\s/?#]+\/[^\s?#]*[^\s/?#])$/,
            'expected hf:owner/name:file, or the http or https address of a file',
          ),
        dataset: text,
        classes: z.int().positive(),
        accuracy: z.number().min(0).max(1),
        imageSize: z.int().positive(),
        bytes: z.number().positive().optional(),
        license: text,
        source: text,
      }),
    )
    .optional(),
  onnx: z.object({ build: method }).optional(),
  summary: method.optional(),
  module: text.optional(),
});

/**
 * @param others - the families that are registered
 * @throws UsageError if something is missing or malformed, or means something else in another family
 */
export function checkFamily(family: unknown, others: readonly Family[]): asserts family is Family {
  const parsed = familySchema.safeParse(family);
  if (!parsed.success) {
    throw new UsageError(
      `registerFamily: got a family that is not complete:\n${z.prettifyError(parsed.error)}`,
    );
  }
  const own = family as Family;
  const problem = conflicts(own, others)[0];
  if (problem !== undefined) throw new UsageError(`registerFamily: ${own.name}: ${problem}`);
}

/** What the names of a family mean elsewhere. */
function conflicts(family: Family, others: readonly Family[]): string[] {
  const taken = others.find((other) => other.name === family.name);
  if (taken) return ['a family of this name is registered already. Choose another name.'];
  return [
    ...Object.keys(family.architectures).flatMap((arch) => {
      const owner = others.find(({ architectures }) => Object.hasOwn(architectures, arch));
      return owner
        ? [`the architecture '${arch}' is one of ${owner.title} already. Choose another name.`]
        : [];
    }),
    ...publishedConflicts(family, others),
    ...optionConflicts(family, others),
    ...kindConflicts(family, others),
    ...flagConflicts(family, others),
  ];
}

/** Published weights are of an architecture of the family, and a name means one file. */
function publishedConflicts(
  { published = [], architectures, title }: Family,
  others: readonly Family[],
): string[] {
  const taken = new Map(
    others.flatMap((other) => (other.published ?? []).map(({ name }) => [name, other.title])),
  );
  return published.flatMap(({ name: own, arch }) => {
    const owner = taken.get(own);
    taken.set(own, title);
    return [
      ...(Object.hasOwn(architectures, arch)
        ? []
        : [`the published weights '${own}' are of '${arch}', which is none of its architectures.`]),
      ...(owner === undefined
        ? []
        : [`there are published weights '${own}' of ${owner} already. Choose another name.`]),
    ];
  });
}

const optionsOf = ({ options, layout }: Family): (readonly [string, ModelOption])[] => [
  ...Object.entries(options),
  ...Object.entries(layout?.options ?? {}),
];

const takeOver = 'Take over what is there, or choose another name.';

/** A name means one option. */
function optionConflicts(family: Family, others: readonly Family[]): string[] {
  return optionsOf(family).flatMap(([key, own]) =>
    others.flatMap((other) =>
      optionsOf(other)
        .filter(([otherKey]) => otherKey === key)
        .filter(
          ([, theirs]) =>
            flagOf(own) !== flagOf(theirs) ||
            JSON.stringify(own.values) !== JSON.stringify(theirs.values),
        )
        .map(
          () =>
            `the option \`${printableLine(key)}\` has other values or another flag than in ${other.title}. ${takeOver}`,
        ),
    ),
  );
}

/** A kind is the same wherever it is found, as rates are given by kinds. */
function kindConflicts(family: Family, others: readonly Family[]): string[] {
  return Object.entries(family.kinds).flatMap(([kind, own]) =>
    others.flatMap(({ title, kinds }) => {
      const theirs = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
      if (!theirs) return [];
      const { rateFlag, optional = false } = theirs;
      return own.rateFlag === rateFlag && (own.optional ?? false) === optional
        ? []
        : [
            `the kind '${kind}' has another rateFlag or optional than in ${title} (${rateFlag}, optional ${String(optional)}). ${takeOver}`,
          ];
    }),
  );
}

/** A flag means one thing, within a family too. */
function flagConflicts(family: Family, others: readonly Family[]): string[] {
  const own = familyFlags(family);
  return own.flatMap(({ flag, means }, i) =>
    [...own.slice(0, i), ...others.flatMap(familyFlags)]
      .filter((known) => known.flag === flag && known.means !== means)
      .map(
        (known) =>
          `the flag ${flag} of ${means} is that of ${known.means} in ${known.title}. Choose another one.`,
      ),
  );
}

const flagOf = ({ flag: text }: ModelOption): string | undefined => text?.split(' ')[0];

/** A flag that a family brings. */
export interface FamilyFlag {
  readonly flag: string;
  /** In words: the option `depth`. The same flag with the same meaning is the same. */
  readonly means: string;
  readonly title: string;
}

/** Every flag that a family brings. */
export function familyFlags(family: Family): FamilyFlag[] {
  const { title, kinds } = family;
  return [
    ...optionsOf(family).flatMap(([key, option]) => {
      const flag = flagOf(option);
      return flag === undefined
        ? []
        : [{ flag, means: `the option \`${printableLine(key)}\``, title }];
    }),
    ...Object.entries(kinds).map(([kind, { rateFlag }]) => {
      return { flag: rateFlag, means: `the kind '${kind}'`, title };
    }),
  ];
}
