// The evolutionary search: rates are mutated and crossed, brought back to the budget, and the best survive.
import { Random, Stage } from '../../data/random.js';
import type { Widths } from '../../models/width-costs.js';
import { firstTrue } from '../../pruning/sensitivity/allocate.js';
import { widthsAt } from '../../pruning/sensitivity/parts.js';
import { sum } from '../../statistics.js';
import { type SearchProblem, widthsKey } from './problem.js';

/** Candidates that live on, and children of each generation. */
const population = 16;
const generations = 20;
/** Models that are measured at most. */
export const evolutionaryModels = population * (generations + 1);
/** Chance of a rate to be changed, and the standard deviation of the change. */
const mutation = { chance: 0.2, deviation: 0.15 };
/** Factors by which kept shares are multiplied to meet the budget: from 2 to 0 in so many steps. */
const fineness = 2000;

interface Candidate {
  /** Share to remove of each part. */
  readonly rates: readonly number[];
  readonly widths: Widths;
  readonly loss: number;
}

/**
 * A pure function of the seed and of what is measured: it goes through the same steps again when the measurements are known.
 * @returns widths that meet the budget
 * @throws TimeOver without widths: the best candidate has been measured
 */
export async function evolutionary(problem: SearchProblem): Promise<Widths> {
  const { sensitivity, starts, measure, seed } = problem;
  const random = new Random();
  let alive: Candidate[] = [];
  const add = async (rates: readonly number[], widths: Widths): Promise<Candidate> => ({
    rates,
    widths,
    loss: (await measure(widths)).loss,
  });
  for (const { widths } of starts) alive.push(await add(ratesOf(problem, widths), widths));
  for (let generation = 0; generation <= generations; generation++) {
    // The first ones fill the population up.
    const wanted = generation === 0 ? population - alive.length : population;
    const children: Candidate[] = [];
    for (let child = 0; child < wanted; child++) {
      random.seed(seed, Stage.search, generation, child);
      const [a, b] = [pick(alive, random), pick(alive, random)];
      const crossed = a.rates.map((rate, i) =>
        random.uniform() < 0.5 ? rate : (b.rates[i] as number),
      );
      const rates = toBudget(
        problem,
        crossed.map((rate) =>
          random.uniform() < mutation.chance ? rate + mutation.deviation * random.normal() : rate,
        ),
      );
      children.push(await add(rates, widthsOf(problem, rates)));
    }
    const seen = new Set<string>();
    alive = [...alive, ...children]
      .sort((a, b) => a.loss - b.loss)
      .filter(({ widths }) => {
        const key = widthsKey(sensitivity, widths);
        return !seen.has(key) && seen.add(key);
      })
      .slice(0, population);
  }
  return (alive[0] as Candidate).widths;
}

/** The better of two. */
function pick(alive: readonly Candidate[], random: Random): Candidate {
  const a = alive[random.below(alive.length)] as Candidate;
  const b = alive[random.below(alive.length)] as Candidate;
  return b.loss < a.loss ? b : a;
}

const widthsOf = ({ sensitivity }: SearchProblem, rates: readonly number[]): Widths =>
  Object.fromEntries(
    sensitivity.parts.flatMap((part, i) =>
      Object.entries(widthsAt(part, rates[i] as number, sensitivity.roundTo)),
    ),
  );

/** Share that is gone of each part. */
function ratesOf({ sensitivity }: SearchProblem, widths: Widths): number[] {
  return sensitivity.parts.map(({ groups }) => {
    const kept = sum(Object.entries(groups).map(([name, size]) => widths[name] ?? size));
    return 1 - kept / sum(Object.values(groups));
  });
}

/** All kept shares times the largest factor that meets the budget, each within its limits. */
function toBudget(problem: SearchProblem, rates: readonly number[]): number[] {
  const { maxRate, budget, costOf } = problem;
  const times = (factor: number): number[] =>
    rates.map((rate) => 1 - Math.min(1, Math.max(1 - maxRate, (1 - rate) * factor)));
  const at = (n: number): number[] => times(2 * (1 - n / fineness));
  return at(firstTrue(0, fineness, (n) => costOf(widthsOf(problem, at(n))) <= budget.most));
}
