import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { registerImportance } from '../../pruning/importances.js';
import type { PruneSettings } from '../../workflows/prune/settings.js';
import { tinyPruning } from '../../workflows/testing/tiny.js';
import { addMethodOptions } from './compare.js';
import { addImpOptions } from './imp.js';
import { importanceOf } from './imp-script.js';
import { type PruningFlags, addPruningOptions, pruningOf, recipeThrough } from './pruning.js';
import { checkPruningFlags } from './pruning-checks.js';
import { type RecipeOptions, recipeOf } from './recipe.js';

/** As the command does it. */
function settingsOf(given: PruningFlags, stored?: PruneSettings): PruneSettings {
  const settings = { ...(stored ?? tinyPruning('m', 'd')), ...pruningOf(given, stored) };
  checkPruningFlags(given, settings);
  return settings;
}

describe('the flags of prune', () => {
  it('become settings of their method', () => {
    expect(
      settingsOf({ method: 'refill', fillback: 0.1, refillScore: 'gradient', scoreBatches: 2 }),
    ).toMatchObject({
      method: 'refill',
      refill: { fillback: 0.1, score: 'gradient' },
      scoreBatches: 2,
    });
    expect(
      settingsOf({ method: 'rsst', regUnits: 'doomed', importance: 'l2', exponents: 2 }),
    ).toMatchObject({ importance: 'l2', rsst: { units: 'doomed', exponent: 2 } });
    expect(settingsOf({ method: 'rsst', lrThrough: true }).rsst).toEqual({ lrThrough: true });
    expect(settingsOf({ method: 'rsst', lrThrough: true, cutAtZero: true, cuts: 4 }).rsst).toEqual({
      lrThrough: true,
      cutAtZero: true,
      cuts: 4,
    });
    expect(settingsOf({ method: 'rsst' }).rsst).toEqual({});
    expect(settingsOf({ distill: 0.3, temperature: 4 }).distill).toEqual({
      weight: 0.3,
      temperature: 4,
    });
    expect(settingsOf({ distill: 0 }).distill).toBeUndefined();
  });

  it('are of a training where there is one, after the cut or before it', () => {
    const { recipe } = tinyPruning('m', 'd');
    const trained = tinyPruning('m', 'd', { recipe: { ...recipe, epochs: 1 } });
    const flags: PruningFlags & RecipeOptions = { lr: 1e-3, augment: 'strong' };
    expect(() => {
      checkPruningFlags(flags, trained);
      checkPruningFlags(flags, { ...tinyPruning('m', 'd'), method: 'rsst', rsst: { epochs: 2 } });
      checkPruningFlags({ batchSize: 8, trainImages: 16 }, tinyPruning('m', 'd'));
    }).not.toThrow();
  });

  it('go over what a run has, which stays where nothing was typed', () => {
    const stored = settingsOf({ method: 'refill', fillback: 0.1, rounds: 4, distill: 0.3 });
    expect(settingsOf({}, stored)).toEqual(stored);
    expect(settingsOf({ refillBudget: 'keep' }, stored)).toEqual({
      ...stored,
      refill: { fillback: 0.1, budget: 'keep' },
    });
    const through = settingsOf({ method: 'rsst', lrThrough: true });
    expect(settingsOf({ regEpochs: 2 }, through).rsst).toEqual({ lrThrough: true, epochs: 2 });
  });

  it.each<[PruningFlags & RecipeOptions, RegExp]>([
    [
      { lr: 1e-3 },
      /got --lr, which is of a training, and without --epochs there is none after the cut\. Leave it out/,
    ],
    [
      { method: 'refill', fillback: 0.1, warmupEpochs: 1 },
      /got --warmup-epochs, which is of a training/,
    ],
    [{ augment: 'strong', batchSize: 8 }, /got --augment, which is of a training/],
    [
      { method: 'refill', fillback: 0, refillScore: 'gradient' },
      /got --refill-score, which belongs to --fillback above 0/,
    ],
    [
      { method: 'refill', refillScore: 'gradient' },
      /got --method refill without --fillback, expected the share .* Give --fillback 0\.1 .* or --method oneshot/,
    ],
    [
      { method: 'refill', fillback: 0, refillBudget: 'keep' },
      /got --refill-budget, which belongs to --fillback above 0/,
    ],
    [{ fillback: 0.1 }, /got --fillback, which belongs to --method refill, not oneshot/],
    [
      { method: 'rsst', refillScore: 'gradient' },
      /got --refill-score, which belongs to --method refill, not rsst/,
    ],
    [
      { method: 'refill', fillback: 0.1, regStrength: 1 },
      /got --reg-strength, which belongs to --method rsst, not refill/,
    ],
    [{ lrThrough: true }, /got --lr-through, which belongs to --method rsst, not oneshot/],
    [
      { method: 'refill', fillback: 0.1, lrThrough: true },
      /got --lr-through, which belongs to --method rsst, not refill/,
    ],
    [
      { method: 'refill', fillback: 0.1, rechoose: 2 },
      /got --rechoose, which belongs to --method rsst/,
    ],
    [
      { method: 'refill', fillback: 0.1, cutAtZero: true },
      /got --cut-at-zero, which belongs to --method rsst/,
    ],
    [{ method: 'refill', fillback: 0.1, cuts: 2 }, /got --cuts, which belongs to --method rsst/],
    [
      { method: 'rsst', regUnits: 'doomed', lrThrough: true, cuts: 2, rounds: 2 },
      /got --rounds, which has no say beside --cuts/,
    ],
    [
      { method: 'rsst', regUnits: 'doomed', regApply: 'shrink', exponents: 2 },
      /got --exponents, which has no effect under --reg-schedule cosine/,
    ],
    [
      { method: 'refill', fillback: 0.1, nearZero: 0.1 },
      /got --near-zero, which belongs to --method rsst/,
    ],
    [{ method: 'rsst', importance: 'l2' }, /got --importance, which belongs to --reg-units doomed/],
    [
      { method: 'rsst', nearZero: 0.1, ssmRate: 0.5 },
      /got --ssm-rate, which has no effect under --near-zero/,
    ],
    [
      { method: 'rsst', regSchedule: 'x', exponents: 2 },
      /got --exponents, which has no effect under --reg-schedule x/,
    ],
    [
      { scoreBatches: 4 },
      /got --score-batches, which belongs to --importance taylor, --importance fisher, /,
    ],
    [{ ranking: 'layer', maxRate: 0.5 }, /got --max-rate, which belongs to --ranking global/],
    [{ perRound: true }, /got --per-round, which belongs to several --rounds/],
    [{ temperature: 2 }, /got --temperature, which belongs to --distill/],
  ])('%j are refused', (given, message) => {
    expect(() => settingsOf(given)).toThrow(message);
  });
});

const commands: Record<string, (command: Command) => void> = {
  prune: addPruningOptions,
  compare: addMethodOptions,
};

describe.each(Object.entries(commands))('the flags of %s', (of, addTo) => {
  const command = (): Command => {
    const made = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
    addTo(made);
    return made;
  };
  const parsed = (...argv: string[]) => command().parse(argv, { from: 'user' }).opts();
  /** One line, whatever the width broke. */
  const help = (): string => command().helpInformation().replaceAll(/\s+/g, ' ');

  it('are read in earlier spellings, which help does not show', () => {
    expect(
      parsed('--score', 'out_proj', '--ranking', 'layerwise', '--reg-scope', 'doomed'),
    ).toEqual({ score: 'consumer', ranking: 'layer', regUnits: 'doomed' });
    expect(parsed('--score', 'group', '--ranking', 'global', '--reg-units', 'all')).toEqual({
      score: 'group',
      ranking: 'global',
      regUnits: 'all',
    });
    expect(help()).toContain('--reg-units');
    expect(help()).not.toMatch(/out_proj|layerwise|reg-scope/);
    expect(() => parsed('--reg-scope', 'some')).toThrow(/Expected all or doomed/);
    expect(() => parsed('--ranking', 'layers')).toThrow(/Expected global or layer\./);
  });

  it('take every importance that there is, and say what each is', () => {
    expect(help()).toContain('obd (half the sum of (w dL/dw)², mean over single images)');
    expect(help()).toContain('(default: taylor; ');
    const name = `own-of-${of}`;
    expect(() => parsed('--importance', name)).toThrow(/Expected l1, l2, taylor, fisher/);
    registerImportance({ name, description: 'a try', score: () => new Map() });
    expect(parsed('--importance', name)).toEqual({ importance: name });
    expect(help()).toContain(`${name} (a try)`);
  });
});

describe('the criteria of imp', () => {
  it('are the script’s and every importance that there is', () => {
    expect(importanceOf('magnitude')).toBe('l1');
    expect(importanceOf('fisher')).toBe('fisher');
    expect(importanceOf(undefined)).toBeUndefined();
    expect(() => importanceOf('remain')).toThrow(/the nearest is --criteria l1/);
    const command = new Command();
    addImpOptions(command, ['mamba_tiny']);
    expect(command.helpInformation().replaceAll(/\s+/g, ' ')).toMatch(
      /--criteria <name> [^:]*: magnitude, l1, l2, taylor, fisher, obd, .*\(default: taylor; ResNet obd\)/,
    );
  });
});

describe('the recipe of prune', () => {
  const recipe = (given: PruningFlags & RecipeOptions) =>
    recipeThrough(given, (flags) =>
      recipeOf(flags, 0, { epochs: 0, lr: 5e-4, phase: 'finetune' }, 'cifar10'),
    );
  const through = { method: 'rsst', lrThrough: true } as const;

  it('warms up for a share of all epochs under --lr-through', () => {
    expect(recipe({ ...through, regEpochs: 8, epochs: 32 })).toMatchObject({
      epochs: 32,
      warmupEpochs: 4,
    });
    // As many regularised epochs as others, unless told otherwise.
    expect(recipe({ ...through, epochs: 5 })).toMatchObject({ epochs: 5, warmupEpochs: 1 });
    expect(recipe({ ...through, regEpochs: 8, epochs: 32, warmupEpochs: 0.5 })).toMatchObject({
      epochs: 32,
      warmupEpochs: 0.5,
    });
    const apart = { method: 'rsst', regEpochs: 8, epochs: 32 } as const;
    expect(recipe(apart)).toMatchObject({ epochs: 32, warmupEpochs: 3.2 });
  });

  it('has a share of all epochs of what a preset has', () => {
    const own = recipe({ preset: 'best' });
    const whole = recipe({ preset: 'best', epochs: own.epochs + 6 });
    expect(recipe({ ...through, preset: 'best', regEpochs: 6 })).toEqual({
      ...whole,
      epochs: own.epochs,
    });
    expect(whole.warmupEpochs).toBeGreaterThan(own.warmupEpochs ?? Infinity);
  });
});
