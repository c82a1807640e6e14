// The share of Refill that returns where nobody says it: of each rate, and the same one when a comparison goes on.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usualFillback } from '../../pruning/refill-choices.js';
import { writeTinyImages } from '../testing/tiny.js';
import { collectRuns } from './collect.js';
import { type CompareRequest, compare } from './compare.js';
import { decideFillback } from './fillback.js';
import { requestOfFolder } from './request.js';
import type { CompareResults } from './results.js';
import { planRuns } from './settings.js';
import { inProcess, smallRequest } from './testing/small-comparison.js';

let folder: string;
let request: CompareRequest;
const refill = { score: 'gradient', budget: 'keep' } as const;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-compare-fillback-'));
  await writeTinyImages(at('images'));
  request = { ...smallRequest(at('images')), refill, rates: [0.5, 0.9] };
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Begins, or goes on, and is stopped before its first run. */
async function begun(asked: CompareRequest, name: string) {
  const { settings } = await compare(asked, {
    out: at(name),
    signal: AbortSignal.abort(),
    start: inProcess(),
  });
  const runs = planRuns(settings, at(name)).flatMap((run) =>
    run.method === 'refill' && run.seed === 0 && run.settings.refill
      ? [[run.rate, run.settings.refill]]
      : [],
  );
  return { settings, runs: Object.fromEntries(runs) as Record<number, object> };
}

describe('the usual fillback', () => {
  it('is a tenth, and under keep no more than leaves half of the choice to the first cut', () => {
    const shares = [0.5, 0.2, 0.15, 0.1, 0.05, 0.001].map((kept) => usualFillback(kept, 'keep'));
    expect(shares).toEqual([0.1, 0.1, 0.081, 0.052, 0.025, 0.0005]);
    expect([0.5, 0.05].map((kept) => usualFillback(kept, 'add'))).toEqual([0.1, 0.1]);
    for (const units of [200, 1000, 4000]) {
      const kept = units / 10;
      const first = Math.ceil((kept - units * 0.052) / (1 - 0.052));
      expect(first / kept).toBeGreaterThan(0.5);
    }
  });
});

describe('a comparison without a fillback', () => {
  it('has that of each rate, and records it', async () => {
    const { settings, runs } = await begun(request, 'usual');
    const fillbackAt = [
      { rate: 0.5, fillback: 0.1 },
      { rate: 0.9, fillback: 0.052 },
    ];
    expect(settings.refill).toEqual({ ...refill, fillbackAt });
    expect(runs).toEqual({
      0.5: { ...refill, fillback: 0.1 },
      0.9: { ...refill, fillback: 0.052 },
    });
    const stored = JSON.parse(readFileSync(at('usual/results.json'), 'utf8')) as CompareResults & {
      readonly settings: object;
    };
    expect(stored.settings).toMatchObject({ refill: { ...refill, fillbackAt } });
    expect(readFileSync(at('usual/results.md'), 'utf8')).toContain(
      'The fillback of Refill is 0.1 at 50%, 0.052 at 90%.',
    );
  });

  it('goes on with what it recorded, and gives rates that are added theirs', async () => {
    await begun({ ...request, rates: [0.9] }, 'later');
    const file = at('later/compare.json');
    // As a version with another default would have written it.
    writeFileSync(file, readFileSync(file, 'utf8').replace('0.052', '0.03'));
    const { settings, runs } = await begun({ ...request, rates: [0.95, 0.9] }, 'later');
    expect(settings.refill.fillbackAt).toEqual([
      { rate: 0.95, fillback: 0.025 },
      { rate: 0.9, fillback: 0.03 },
    ]);
    expect(runs).toMatchObject({ 0.9: { fillback: 0.03 }, 0.95: { fillback: 0.025 } });
    expect((await begun(requestOfFolder(at('later'), {}), 'later')).settings).toEqual(settings);
    await expect(
      begun({ ...request, rates: [0.95, 0.9], refill: { ...refill, fillback: 0.03 } }, 'later'),
    ).rejects.toThrow(/other settings: refill\.fillback: /);
  });

  it('goes on with the tenth of earlier versions where it began with that, after a tuning too', async () => {
    const told = { ...request, refill: { ...refill, fillback: 0.1 } };
    await begun(told, 'earlier');
    const { settings, runs } = await begun(request, 'earlier');
    expect(settings.refill).toEqual({ ...refill, fillback: 0.1 });
    expect(runs).toMatchObject({ 0.9: { fillback: 0.1 } });
    await begun({ ...told, rates: [0.9] }, 'tuned/tune');
    expect((await begun(request, 'tuned')).settings.refill).toEqual({ ...refill, fillback: 0.1 });
    // Any other was asked for, and has to be again.
    await begun({ ...request, refill: { ...refill, fillback: 0.2 } }, 'asked');
    await expect(begun(request, 'asked')).rejects.toThrow(/other settings: refill\.fillback: /);
  });

  it('is collected with what each machine recorded', async () => {
    await begun({ ...request, rates: [0.5] }, 'a');
    await begun({ ...request, rates: [0.9] }, 'b');
    const file = at('b/compare.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('0.052', '0.03'));
    const { settings } = await collectRuns({ out: at('both'), from: [at('a'), at('b')] });
    expect(settings.refill.fillbackAt).toEqual([
      { rate: 0.5, fillback: 0.1 },
      { rate: 0.9, fillback: 0.03 },
    ]);
  });

  it('keeps one that is given at every rate', () => {
    const given = { ...refill, fillback: 0.3 };
    expect(decideFillback(given, [0.5, 0.95], undefined)).toEqual(given);
  });
});
