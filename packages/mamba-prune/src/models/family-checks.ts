// What a family must have before it is registered.
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { printableLine } from '../printable.js';
import type { Family, ModelOption } from './family.js';

const word = /^[a-z][a-z0-9_]*$/;
const flag = /^--[a-z][a-z0-9-]*$/;
const name = z.string().regex(word, 'expected a word of lower-case letters, digits and _');
const text = z.string().min(1);
const method = z.custom((value) => typeof value === 'function', 'expected a function');

const option = z.object({
  values: z.union([
    z.object({ type: z.literal(['integer', 'integers']), min: z.number(), max: z.number() }),
    z.object({ type: z.literal('number'), min: z.number(), below: z.number() }),
    z.object({ type: z.literal('choice'), choices: z.array(text).min(1) }),
    z.object({ type: z.literal('switch') }),
  ]),
  flag: z
    .string()
    .regex(/^--[a-z][a-z0-9-]*(?: [<[].+[>\]])?$/, 'expected a flag such as --tokens <n>')
    .optional(),
  help: text.optional(),
});

const familySchema = z.object({
  name,
  title: text,
  architectures: z
    .record(name, z.looseObject({}))
    .refine((table) => Object.keys(table).length > 0, 'expected one architecture at least'),
  options: z.record(text, option),
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
    .refine((table) => Object.keys(table).length > 0, 'expected one kind of groups at least'),
  denseConfig: method,
  checkConfig: method,
  create: method,
  shapes: method.optional(),
  layout: z
    .object({
      recognises: method,
      read: method,
      programs: text,
      telling: z.array(text),
      card: z.object({ names: z.instanceof(RegExp), obstacles: method }).optional(),
    })
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
    ...optionConflicts(family, others),
    ...kindConflicts(family, others),
  ];
}

const flagOf = ({ flag: text }: ModelOption): string | undefined => text?.split(' ')[0];

/** A name means one option, and a flag one name. */
function optionConflicts(family: Family, others: readonly Family[]): string[] {
  const tables = (one: Family): (readonly [string, ModelOption])[] => [
    ...Object.entries(one.options),
    ...Object.entries(one.layout?.options ?? {}),
  ];
  return tables(family).flatMap(([key, own]) =>
    others.flatMap((other) =>
      tables(other).flatMap(([otherKey, theirs]) => {
        const same = key === otherKey;
        const values = JSON.stringify(own.values) === JSON.stringify(theirs.values);
        if (same && (flagOf(own) !== flagOf(theirs) || !values)) {
          return [
            `the option '${printableLine(key)}' has other values or another flag than in ${other.title}. ` +
              'Take over what is there, or choose another name.',
          ];
        }
        const clash = !same && own.flag !== undefined && flagOf(own) === flagOf(theirs);
        return clash
          ? [
              `the flag ${flagOf(own) ?? ''} of '${printableLine(key)}' means '${otherKey}' in ${other.title}. Choose another one.`,
            ]
          : [];
      }),
    ),
  );
}

/** A kind is the same wherever it is found, as rates are given by kinds. */
function kindConflicts(family: Family, others: readonly Family[]): string[] {
  return Object.entries(family.kinds).flatMap(([kind, own]) =>
    others.flatMap((other) =>
      Object.entries(other.kinds).flatMap(([otherKind, theirs]) => {
        const same = kind === otherKind;
        const differs =
          own.rateFlag !== theirs.rateFlag ||
          (own.optional ?? false) !== (theirs.optional ?? false);
        if (same && differs) {
          return [
            `the kind '${kind}' has another rateFlag or optional than in ${other.title} (${theirs.rateFlag}, optional ${String(theirs.optional ?? false)}). ` +
              'Take over what is there, or choose another name.',
          ];
        }
        return !same && own.rateFlag === theirs.rateFlag
          ? [
              `the flag ${own.rateFlag} of the kind '${kind}' is that of '${otherKind}' in ${other.title}. Choose another one.`,
            ]
          : [];
      }),
    ),
  );
}
