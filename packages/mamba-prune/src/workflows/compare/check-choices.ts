// What can be wrong with the methods of a comparison, their learning rates, and the seeds and dense models that they get.
import { UsageError } from '../../errors.js';
import { sizeInWords } from './budget.js';
import { plural } from '../../format.js';
import { compareMethods, methodsOf } from './methods.js';
import { allSeeds } from './seeds.js';
import type { CompareSettings } from './settings.js';

/** @throws UsageError naming what is wrong */
export function checkChoices(settings: CompareSettings): void {
  checkMethods(settings);
  checkRates(settings);
  checkSeedsAt(settings);
  checkDense(settings);
}

function checkMethods({ methods }: CompareSettings): void {
  if (methods === undefined) return;
  const known: readonly string[] = compareMethods;
  const bad = methods.find((method) => !known.includes(method));
  if (bad !== undefined) {
    throw new UsageError(
      `compare: got the method ${JSON.stringify(bad)}, expected some of ${compareMethods.join(', ')}.`,
    );
  }
  if (new Set(methods).size < methods.length || methods.every((method) => method === 'dense')) {
    throw new UsageError(
      `compare: got the methods ${methods.join(', ') || '(none)'}, expected different ones, and one at least that makes ` +
        'a smaller model.',
    );
  }
  if (methods.includes('scratch') && !methods.includes('oneshot')) {
    throw new UsageError(
      'compare: got the method scratch without oneshot, expected both: scratch has the widths of the one-shot cut. ' +
        'Add oneshot to `methods`.',
    );
  }
}

function checkRates(settings: CompareSettings): void {
  const { lrOf = {}, lrs } = settings;
  const methods: readonly string[] = methodsOf(settings);
  for (const [method, lr] of Object.entries(lrOf)) {
    if (!methods.includes(method)) {
      throw new UsageError(
        `compare: got a learning rate of ${method}, expected one of a method that is compared: ${methods.join(', ')}. ` +
          'Change `lrOf` or `methods`.',
      );
    }
    checkRate(`the learning rate of ${method}`, lr);
  }
  for (const lr of lrs ?? []) checkRate('a learning rate to try', lr);
  if (lrs && (lrs.length < 2 || new Set(lrs).size < lrs.length)) {
    throw new UsageError(
      `compare: got the learning rates ${lrs.join(', ') || '(none)'} to choose from, expected two different ones at least.`,
    );
  }
}

function checkRate(what: string, lr: number): void {
  if (Number.isFinite(lr) && lr > 0) return;
  throw new UsageError(`compare: got ${lr} as ${what}, expected a number above 0.`);
}

function checkSeedsAt(settings: CompareSettings): void {
  const { rates, seedsAt = [] } = settings;
  for (const { rate, seeds } of seedsAt) {
    if (!rates.includes(rate)) {
      throw new UsageError(
        `compare: got seeds at the ${sizeInWords(settings, rate)}, expected one that is compared: ` +
          `${rates.map((each) => sizeInWords(settings, each)).join(', ')}. Change \`seedsAt\`, or compare that one too.`,
      );
    }
    if (seeds.length === 0 || new Set(seeds).size < seeds.length) {
      throw new UsageError(
        `compare: got the seeds ${seeds.join(', ') || '(none)'} at the ${sizeInWords(settings, rate)}, expected different ones.`,
      );
    }
  }
  const twice = seedsAt.find(({ rate }, i) => seedsAt.findIndex((at) => at.rate === rate) < i);
  if (twice) {
    throw new UsageError(
      `compare: got seeds at the ${sizeInWords(settings, twice.rate)} twice, expected them once.`,
    );
  }
}

function checkDense(settings: CompareSettings): void {
  const { dense } = settings;
  const seeds = allSeeds(settings);
  if (dense === undefined || dense.length === 1 || dense.length === seeds.length) return;
  throw new UsageError(
    `compare: got ${plural(dense.length, 'dense model')} for ${plural(seeds.length, 'seed')}, expected one for all, or one for each. ` +
      'Change `dense`, `seeds` or `seedsAt`.',
  );
}
