import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import {
  type PruneSettings,
  type RsstSettings,
  needForImages,
  resolvePruneSettings,
  scoresUnits,
} from './settings.js';
import { decideImportance, keepImportance } from './importance-choice.js';
import { regularizingRecipe, tuningRecipe } from './job.js';
import { tinyPruning, tinyRecipe } from '../testing/tiny.js';

const resolve = (changes: Partial<PruneSettings> = {}) =>
  resolvePruneSettings(tinyPruning('model.safetensors', 'images', changes));

const trained = { ...tinyRecipe, epochs: 5 };

describe('the settings of a pruning', () => {
  it('have defaults', () => {
    expect(resolve()).toMatchObject({
      rounds: 1,
      perRound: false,
      rewind: 'none',
      score: 'consumer',
      scoreBatches: 8,
      bnBatches: 0,
      refill: undefined,
      rsst: undefined,
      distill: undefined,
    });
    expect(resolve({ method: 'refill', refill: { fillback: 0 } }).refill).toEqual({
      fillback: 0,
      score: 'magnitude',
      budget: 'add',
    });
    expect(resolve({ method: 'rsst', recipe: trained }).rsst).toEqual({
      schedule: 'exp_custom_exponents',
      strength: 1e-4,
      exponent: 4,
      norm: 'l1',
      units: 'all',
      apply: 'loss',
      epochs: 5,
      nearZero: null,
      lrThrough: false,
      rechoose: null,
    });
    const shrunk: RsstSettings = { units: 'doomed', apply: 'shrink' };
    expect(resolve({ method: 'rsst', rsst: shrunk, recipe: trained }).rsst).toMatchObject({
      schedule: 'cosine',
      strength: 1,
    });
    expect(resolve({ distill: { weight: 0.5 }, recipe: trained }).distill).toEqual({
      weight: 0.5,
      temperature: 1,
      through: false,
    });
  });

  it('have plain epochs in the training that ends a round', () => {
    const recipe = { ...trained, plainEpochs: 2, plainAugment: 'standard' };
    const rsst = { epochs: 3 };
    const tuned = regularizingRecipe(resolve({ method: 'rsst', rsst, recipe }));
    expect(tuned).toMatchObject({ epochs: 3, plainEpochs: undefined, plainAugment: undefined });
    const cutOnly = { ...recipe, epochs: 0 };
    const last = regularizingRecipe(resolve({ method: 'rsst', rsst, recipe: cutOnly }));
    expect(last).toMatchObject({ epochs: 3, plainEpochs: 2, plainAugment: 'standard' });
  });

  it('have one recipe over all epochs under lr-through', () => {
    const recipe = { ...trained, warmupEpochs: 6, plainEpochs: 7, emaDecay: 0.99 };
    const settings = resolve({ method: 'rsst', rsst: { epochs: 3, lrThrough: true }, recipe });
    expect(regularizingRecipe(settings)).toEqual({ ...recipe, epochs: 8 });
    expect(tuningRecipe(settings)).toEqual({ ...recipe, epochs: 8 });
    const apart = resolve({ method: 'rsst', rsst: { epochs: 3 }, recipe });
    expect(tuningRecipe(apart)).toEqual(recipe);
  });

  it('resolve to themselves, so that a stored run can be compared', () => {
    const once = resolve({ method: 'rsst', recipe: trained, rewind: 'epoch:3' });
    expect(resolvePruneSettings(once)).toEqual(once);
  });

  it('have a round for every cut within one training, and resolve to themselves then too', () => {
    const rsst: RsstSettings = { units: 'doomed', lrThrough: true, cuts: 3, cutAtZero: true };
    const once = resolve({ method: 'rsst', recipe: trained, rsst });
    expect(once).toMatchObject({ rounds: 3, rsst: { cuts: 3, cutAtZero: true } });
    expect(resolvePruneSettings(once)).toEqual(once);
    const one = resolve({ method: 'rsst', recipe: trained, rounds: 2, rsst: { ...rsst, cuts: 1 } });
    expect(one.rounds).toBe(2);
    expect(one.rsst).not.toHaveProperty('cuts');
  });

  it.each<[Partial<PruneSettings>, RegExp]>([
    [{ rounds: 0 }, /rounds: got 0, expected an integer of at least 1/],
    [{ rounds: 1.5 }, /rounds: got 1\.5/],
    [{ rates: {} }, /got no rates/],
    [{ method: 'lasso' as 'rsst' }, /method: got 'lasso', expected one of oneshot, refill, rsst/],
    [{ refill: { fillback: 0.5 } }, /got refill settings with the method oneshot/],
    [{ rsst: {} }, /got rsst settings with the method oneshot/],
    [
      { method: 'refill', refill: { fillback: 1.1 } },
      /fillback: got 1\.1, expected a number from 0 to 1/,
    ],
    [{ method: 'rsst' }, /0 epochs of regularised training/],
    [{ method: 'rsst', rsst: { epochs: 1, strength: -1 } }, /rsst\.strength: got -1/],
    [
      { method: 'rsst', rsst: { epochs: 1, nearZero: 1 } },
      /nearZero: got 1, expected a number of at least 0 and below 1/,
    ],
    [
      { method: 'rsst', rsst: { epochs: 1, nearZero: 0.1, units: 'doomed' } },
      /`nearZero` with `rsst.units` doomed/,
    ],
    [
      { method: 'rsst', rsst: { epochs: 2, lrThrough: true } },
      /got `lrThrough` with 0 epochs, expected training after the cut: the learning rate goes on/,
    ],
    [
      { method: 'rsst', rsst: { lrThrough: true }, recipe: trained, rewind: 'init' },
      /got `lrThrough` with `rewind` init, expected `rewind` none/,
    ],
    [
      { method: 'rsst', rsst: { epochs: 0, lrThrough: true }, recipe: trained },
      /0 epochs of regularised training/,
    ],
    [{ method: 'refill', rsst: { lrThrough: true } }, /got rsst settings with the method refill/],
    [{ method: 'refill' }, /got the method refill without `refill`, expected what returns/],
    [
      { method: 'rsst', rsst: { lrThrough: 'yes' as unknown as true }, recipe: trained },
      /prune: rsst: .*lrThrough/,
    ],
    [
      { method: 'rsst', rsst: { epochs: 4, rechoose: 2 } },
      /got `rechoose` with `rsst.units` all, expected doomed/,
    ],
    [
      { method: 'rsst', rsst: { epochs: 4, rechoose: 4, units: 'doomed' } },
      /rechoose: got 4, expected fewer than the 4 regularised epochs/,
    ],
    [
      { method: 'rsst', rsst: { epochs: 4, rechoose: 0.5, units: 'doomed' } },
      /rechoose: got 0\.5, expected an integer of at least 1/,
    ],
    [
      { method: 'rsst', rsst: { cuts: 0 }, recipe: trained },
      /cuts: got 0, expected an integer of at least 1/,
    ],
    [
      { method: 'rsst', rsst: { cuts: 2, lrThrough: true }, recipe: trained },
      /got 2 cuts with `rsst.units` all, expected doomed/,
    ],
    [
      { method: 'rsst', rsst: { cutAtZero: true, lrThrough: true }, recipe: trained },
      /got `cutAtZero` with `rsst.units` all and `rsst.apply` loss/,
    ],
    [
      { method: 'rsst', rsst: { apply: 'shrink' }, recipe: trained },
      /`rsst.apply` shrink with `rsst.units` all, expected doomed/,
    ],
    [
      {
        method: 'rsst',
        rsst: { apply: 'shrink', units: 'doomed', schedule: 'constant' },
        recipe: trained,
      },
      /shrink with `rsst.schedule` constant, expected one that grows/,
    ],
    [{ distill: { weight: 0.5 } }, /distillation with 0 epochs/],
    [
      { distill: { weight: 0 }, recipe: trained },
      /distill: got 0, expected a number above 0 and at most 1/,
    ],
    [{ rewind: 'init' }, /rewind init with 0 epochs/],
    [{ rewind: 'epoch:x' as 'init' }, /got 'epoch:x', expected none, source, init or epoch:E/],
  ])('%j are refused', (changes, message) => {
    expect(() => resolve(changes)).toThrow(UsageError);
    expect(() => resolve(changes)).toThrow(message);
  });

  it('say what needs images', () => {
    const need = (changes: Partial<PruneSettings>) => needForImages(resolve(changes));
    expect(need({})).toBeUndefined();
    expect(need({ importance: 'taylor' })).toBe('`importance` taylor');
    expect(need({ score: 'activation' })).toBe('`score` activation');
    expect(need({ method: 'refill', refill: { fillback: 0, score: 'gradient' } })).toBe(
      '`refill.score` gradient',
    );
    // RSST's cut goes by the norm that it regularised; only doomed units are scored before.
    const rsst = (units: 'all' | 'doomed') =>
      ({ method: 'rsst', importance: 'taylor', rsst: { epochs: 1, units } }) as const;
    expect(need(rsst('all'))).toBeUndefined();
    expect(need(rsst('doomed'))).toBe('`importance` taylor');
    expect(scoresUnits(resolve(rsst('all')))).toBe(false);
  });
});

describe('the importance of a pruning', () => {
  const decided = (changes: Partial<PruneSettings>) => {
    const { importance, importanceReason } = resolve({ importance: undefined, ...changes });
    return [importance, importanceReason];
  };

  it('is the best that the inputs allow unless it is given, and says why', () => {
    expect(decided({ dataset: 'folder' })).toEqual(['taylor', 'images']);
    expect(decided({ dataset: undefined })).toEqual(['l1', 'no images']);
    expect(decided({ importance: 'l2' })).toEqual(['l2', 'given']);
    expect(decided({ importance: 'l1', dataset: undefined })).toEqual(['l1', 'given']);
    // The score multiplies the outputs by a norm of weights.
    expect(decided({ score: 'activation' })).toEqual(['l1', 'score']);
    expect(decided({ score: 'group' })).toEqual(['taylor', 'images']);
  });

  it('is that of the family where it has one and there are images, and no run that has begun changes', () => {
    const open = { ...tinyPruning('m', 'd'), importance: undefined };
    const of = (settings: typeof open & { readonly dataset?: string | undefined }) => {
      const { importance, importanceReason } = decideImportance(settings, { importance: 'obd' });
      return [importance, importanceReason];
    };
    expect(of(open)).toEqual(['obd', 'family']);
    expect(of({ ...open, dataset: undefined })).toEqual(['l1', 'no images']);
    expect(of({ ...open, score: 'activation' })).toEqual(['l1', 'score']);
    const begun = { importance: 'taylor', importanceReason: 'images' } as const;
    expect(decideImportance(keepImportance(open, begun), { importance: 'obd' })).toMatchObject(
      begun,
    );
  });

  it('is looked at by RSST only where the doomed units are chosen by it', () => {
    const rsst = { epochs: 1 };
    expect(decided({ method: 'rsst', rsst })).toEqual(['l1', 'unused']);
    expect(decided({ method: 'rsst', rsst: { ...rsst, units: 'doomed' } })).toEqual([
      'taylor',
      'images',
    ]);
    expect(resolve({ method: 'rsst', rsst, importance: 'l2' }).importanceReason).toBe('unused');
  });

  it('stands in the settings only where none was given, so that older runs are the same', () => {
    const given = tinyPruning('m', 'd');
    expect(decideImportance(given, { importance: 'obd' })).toBe(given);
    const open = { ...given, importance: undefined };
    expect(decideImportance(open)).toEqual({
      ...given,
      importance: 'taylor',
      importanceReason: 'images',
    });
    expect(decideImportance(decideImportance(open))).toEqual(decideImportance(open));
  });

  it('stays that of the run that is gone on with', () => {
    const open = { ...tinyPruning('m', 'd'), importance: undefined };
    const begun = (changes: Partial<PruneSettings>) => ({ ...open, ...changes });
    expect(keepImportance(open, begun({ importance: 'l1' }))).toMatchObject({ importance: 'l1' });
    const default1 = begun({ importance: 'l1', importanceReason: 'no images' });
    expect(keepImportance(open, default1)).toMatchObject({
      importance: 'l1',
      importanceReason: 'no images',
    });
    expect(keepImportance(begun({ importance: 'l1' }), default1).importanceReason).toBe(
      'no images',
    );
    // Another one is refused where the settings are compared, and does not take the reason.
    const other = keepImportance(begun({ importance: 'l2' }), default1);
    expect(other.importance).toBe('l2');
    expect(other.importanceReason).toBeUndefined();
  });

  it('is refused if there is no such', () => {
    expect(() => resolve({ importance: 'l3' as 'l1' })).toThrow(
      /importance: got 'l3', expected one of l1, l2, taylor/,
    );
    expect(() => resolve({ importanceReason: 'luck' as 'given' })).toThrow(
      /importanceReason: got 'luck', expected one of given, images/,
    );
  });
});
