// As many rounds as a budget of time has room for.

/**
 * Measures all jobs once in a round, and begins nothing that would, as it took the last time, end after the budget. The
 * first round has no last time: there a job begins as long as anything is left. So the jobs' rounds differ by one at most.
 *
 * @param jobs - in their order
 * @param measure - called with a job and the round, from 0
 * @param budget - `ms` in all; at most `rounds`; `now` gives the time in ms
 */
export function measureInRounds(jobs, measure, { ms, rounds, now = () => performance.now() }) {
  const started = now();
  const took = new Map();
  for (let round = 0, fits = true; round < rounds && fits; round++) {
    for (const job of jobs) {
      const before = now();
      if (before - started + (took.get(job) ?? 0) >= ms) {
        fits = false;
        continue;
      }
      measure(job, round);
      took.set(job, now() - before);
    }
  }
}

/** @returns the sides in the order of a round: reversed in every other one, so that a drifting machine favours nobody */
export const inTurn = (sides, round) => (round % 2 === 0 ? sides : [...sides].reverse());

/**
 * Measures two sides in turn, so many times.
 * @returns what both gave in each round
 */
export function roundsOfTwo(count, ours, torch) {
  return Array.from({ length: count }, (_, round) => {
    const result = {};
    const sides = [
      ['ours', ours],
      ['torch', torch],
    ];
    for (const [name, measure] of inTurn(sides, round)) result[name] = measure();
    return result;
  });
}
