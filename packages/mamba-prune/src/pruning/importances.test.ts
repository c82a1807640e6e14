import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tensor } from '@mamba-prune/libtorch';
import { describe, expect, it, onTestFinished } from 'vitest';
import { writeDocumentedModules } from '../data/testing/documented-modules.js';
import { UsageError } from '../errors.js';
import {
  type ImportanceFunction,
  type RegisteredImportance,
  importanceFacts,
  importanceNames,
  needForImages,
  registerImportance,
} from './importances.js';
import { importanceFunctions } from './importances/index.js';
import { pruneOneShot } from './oneshot.js';
import { pruneWithRefill } from './refill.js';
import { chooseUnits } from './select-units.js';
import { scoreUnits } from './score-units.js';
import { TwoLayer, randomImages, setWeight, smallMamba } from './testing/models.js';

/** The later a unit stands, the more it is worth. */
const byPlace: ImportanceFunction = ({ groups }) =>
  new Map(groups.map(({ name, size }) => [name, Array.from({ length: size }, (_, i) => i)]));

const rates = { neurons: 0.5 };

describe('importances', () => {
  it('that are built in have a function each, and come first', () => {
    const builtIn = Object.keys(importanceFunctions);
    expect(importanceNames().slice(0, builtIn.length).sort()).toEqual(builtIn.sort());
  });

  it('are described in a line for help, with the paper where there is one', () => {
    const facts = importanceFacts();
    for (const [name, { description }] of facts) expect(description, name).toMatch(/^\S.{3,60}$/);
    expect(facts.get('obd')?.paper).toContain('1801.05787');
  });

  it('say in one place whether they need images', () => {
    const needs = (choice: Parameters<typeof needForImages>[0]) => needForImages(choice);
    expect(needs({ importance: 'l1', score: 'group', refillScore: 'magnitude' })).toBeUndefined();
    for (const importance of ['taylor', 'fisher', 'obd'] as const) {
      expect(needs({ importance, score: 'activation' })).toBe(`\`importance\` ${importance}`);
    }
    expect(needs({ importance: 'l1', score: 'activation', refillScore: 'gradient' })).toBe(
      '`score` activation',
    );
    expect(needs({ importance: 'l1', refillScore: 'gradient' })).toBe('`refill.score` gradient');
    expect(needs({ importance: 'unheard-of', score: 'unheard-of' as 'group' })).toBeUndefined();
  });

  it.each(['fisher', 'obd', 'taylor'] as const)('%s is refused without images', async (name) => {
    const model = smallMamba();
    const attempt = scoreUnits(model, model.pruningGroups(), { importance: name });
    await expect(attempt).rejects.toThrow(UsageError);
    await expect(attempt).rejects.toThrow(
      `\`importance\` ${name}: got no images, expected batches of real data. ` +
        'Give a data set, or use `importance` l1 or l2',
    );
  });
});

describe('a function of one’s own', () => {
  it('chooses the units of a cut, a refill and RSST', async () => {
    const model = new TwoLayer({ units: 6 });
    const options = { rates, ranking: 'global', importance: byPlace } as const;
    expect((await chooseUnits(model, options)).get('hidden')).toEqual([3, 4, 5]);
    expect((await pruneOneShot(model, options)).kept.get('hidden')).toEqual([3, 4, 5]);
    const { kept } = await pruneWithRefill(model, { ...options, fillback: 0.4 });
    expect(kept.get('hidden')).toEqual([2, 3, 4, 5]);
  });

  it('sees the members of the score, the images, and adds up as the score has it', async () => {
    const model = new TwoLayer({ units: 2 });
    setWeight(model, 'fc1.weight', [3, -4, 0, 1]);
    setWeight(model, 'fc2.weight', [1, 5, -1, 12]);
    const calibration = randomImages(model, [2]);
    const seen: unknown[] = [];
    const own: ImportanceFunction = (context) => {
      seen.push(
        context.calibration,
        context.members.get('hidden')?.map((m) => m.parameter),
      );
      return Promise.resolve(context.sumOf(context.model.namedParameters(), 'l1'));
    };
    const groups = model.pruningGroups();
    const scores = async (options: object) =>
      (await scoreUnits(model, groups, { importance: own, ...options }, calibration)).get('hidden');
    expect(await scores({})).toEqual(Float64Array.of(9, 18));
    expect(seen).toEqual([calibration, ['fc1.weight', 'fc2.weight']]);
    for (const score of ['group', 'activation'] as const) {
      const named = await scoreUnits(model, groups, { importance: 'l1', score }, calibration);
      expect(await scores({ score })).toEqual(named.get('hidden'));
    }
  });

  it.each<[string, () => unknown, string]>([
    ['nothing', () => undefined, 'the function gave undefined, expected a Map'],
    ['a list', () => [1, 2], 'the function gave an array, expected a Map'],
    ['no group', () => new Map(), "the function gave no scores for the group 'hidden', expected 2"],
    [
      'too few',
      () => new Map([['hidden', [1]]]),
      "the function gave 1 for the group 'hidden', expected 2 numbers, one per unit",
    ],
    [
      'a tensor',
      () => new Map([['hidden', tensor([1, 2])]]),
      "the function gave no list for the group 'hidden', expected 2 numbers",
    ],
    ['NaN', () => new Map([['hidden', [1, NaN]]]), 'the score of unit 1 is NaN'],
    ['words', () => new Map([['hidden', ['1', 'b']]]), 'values that are no numbers'],
    ['no values', () => new Map(), 'no scores'],
  ])('is refused when it gives %s', async (_, own, words) => {
    const model = new TwoLayer({ units: 2 });
    const importance = own as unknown as ImportanceFunction;
    const attempt = scoreUnits(model, model.pruningGroups(), { importance });
    await expect(attempt).rejects.toThrow(UsageError);
    await expect(attempt).rejects.toThrow(words);
  });

  it('is told which values are missing in what it adds up', async () => {
    const model = new TwoLayer({ units: 2 });
    const importance: ImportanceFunction = ({ sumOf }) => sumOf(new Map(), 'l1');
    await expect(scoreUnits(model, model.pruningGroups(), { importance })).rejects.toThrow(
      "sumOf: got no values for 'fc1.weight', expected a tensor",
    );
  });
});

describe('registerImportance', () => {
  const own: RegisteredImportance = { name: 'by-place', description: 'place', score: byPlace };

  it('makes a function known by its name', async () => {
    const model = new TwoLayer({ units: 6 });
    const attempt = () => chooseUnits(model, { rates, ranking: 'global', importance: 'by-place' });
    await expect(attempt()).rejects.toThrow(
      /importance: got 'by-place', expected one of l1, .*, or a name that registerImportance was told before \(`loadPlugin` loads/,
    );
    registerImportance(own);
    expect(importanceNames().at(-1)).toBe('by-place');
    expect((await attempt()).get('hidden')).toEqual([3, 4, 5]);
  });

  it('takes the module that docs/extend.md shows, as it stands there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-extend-'));
    onTestFinished(() => {
      rmSync(folder, { recursive: true });
    });
    const entry = fileURLToPath(new URL('importances.ts', import.meta.url));
    const { 'cubes.mjs': module = '' } = writeDocumentedModules(folder, entry, 'extend.md');
    await import(module);
    const model = new TwoLayer({ units: 2 });
    // The cubes of the first add up to less than those of the second.
    setWeight(model, 'fc1.weight', [1, 3, 5, -1]);
    setWeight(model, 'fc2.weight', [1, 1, 1, 1]);
    const kept = await chooseUnits(model, { rates, ranking: 'global', importance: 'cubes' });
    expect(kept.get('hidden')).toEqual([1]);
  });

  it('has images asked for where it says that it needs them', async () => {
    registerImportance({ ...own, name: 'of-images', needsImages: true });
    const model = new TwoLayer({ units: 2 });
    const options = { importance: 'of-images' };
    await expect(scoreUnits(model, model.pruningGroups(), options)).rejects.toThrow(
      '`importance` of-images: got no images',
    );
    await expect(
      scoreUnits(model, model.pruningGroups(), { ...options, score: 'activation' }),
    ).rejects.toThrow(/`score` activation: got `importance` of-images, expected l1 or l2/);
  });

  it.each<[Record<string, unknown>, string]>([
    [{ name: 'taylor' }, "got the name 'taylor', which is taken"],
    [{ name: '' }, "got the name '', expected letters"],
    [{ name: 'two words' }, "got the name 'two words', expected letters"],
    [{ name: '--json' }, "got the name '--json', expected letters"],
    [{ needImages: true }, 'got the option `needImages`, expected some of `name`'],
    [{ score: undefined }, 'got options without `score`'],
  ])('refuses %j', (wrong, words) => {
    const attempt = () => {
      registerImportance({ ...own, name: 'another', ...wrong });
    };
    expect(attempt).toThrow(UsageError);
    expect(attempt).toThrow(words);
    expect(importanceNames()).not.toContain('another');
  });
});
