import { describe, expect, it } from 'vitest';
import type { PruningRecord } from '../workflows/prune/record.js';
import { importanceReasons } from '../workflows/prune/importance-choice.js';
import { rateLimits } from '../workflows/prune/reached-rates.js';
import { passLabel } from './pruning-progress.js';
import { impFlags, importanceInWords, rateRemarks, warningsOf } from './pruning-remarks.js';

const kinds = { 'blocks.0.attn': 'heads', 'blocks.1.attn': 'heads' };
const record = {
  method: 'refill',
  ranking: 'global',
  roundTo: 8,
  maxRate: 0.5,
  kinds,
  rates: { heads: 0.7 },
  reached: { heads: 0.5 },
  heldBack: [],
  leftAlone: [],
  denseWidths: { 'blocks.0.attn': 6, 'blocks.1.attn': 6 },
  widthsBefore: { 'blocks.0.attn': 6, 'blocks.1.attn': 6 },
  widthsAfter: { 'blocks.0.attn': 5, 'blocks.1.attn': 1 },
  rounds: [{ rates: { heads: 0.6 } }],
} as unknown as PruningRecord;

describe('what a pruning says', () => {
  it('of the importance is why it was taken', () => {
    const words = importanceReasons.map((importanceReason) =>
      importanceInWords({ importance: 'l1', score: 'group', importanceReason }),
    );
    expect(words).toEqual([
      'l1 of group, as asked for',
      'l1 of group, the default with images',
      'l1 of group, the default of its family with images',
      'l1 of group, the default without images',
      'l1 of group, the norm that goes with this score',
      'the norm that RSST regularised',
    ]);
    // Of a record from before there was a choice.
    expect(
      importanceInWords({ importance: 'l2', score: 'consumer', importanceReason: undefined }),
    ).toBe('l2 of consumer');
  });

  it('of a limit compares with the share of the last round, and names groups if not all are held', () => {
    const held = rateLimits.map((limit) => ({ kind: 'heads', limit, groups: ['blocks.1.attn'] }));
    const [maxRate, minimum, roundTo, fillback] = rateRemarks({ ...record, heldBack: held });
    const gone = 'in blocks.1.attn: 50.0% of the units are gone, not 60.0%';
    expect(maxRate).toBe(
      `heads: --max-rate 0.5 held the rate back ${gone}. Raise it, or lower the rate.`,
    );
    expect(minimum).toContain(`which held the rate back ${gone}`);
    expect(roundTo).toContain(`--round-to 8 rounded widths up ${gone}`);
    expect(fillback).toContain('units came back on top of the rate (refill)');
    const two = [{ kind: 'heads', limit: 'minimum' as const, groups: [], fewest: 2 }];
    expect(rateRemarks({ ...record, heldBack: two })[0]).toMatch(
      /^heads: every group keeps 2 units at least, which held the rate back: /,
    );
    const everywhere = [{ kind: 'heads', limit: 'minimum' as const, groups: Object.keys(kinds) }];
    expect(rateRemarks({ ...record, heldBack: everywhere }).join()).not.toContain('blocks');
  });

  it('of doomed units is how much of them the cut still found, and what helps', () => {
    const wide = { ...record, widthsAfter: record.denseWidths, rounds: [] };
    const warned = (apply: 'loss' | 'shrink', ssm: number, mlp: number): string[] =>
      warningsOf({
        ...wide,
        rounds: [{ rates: { heads: 0.6 }, doomedLeft: { apply, kinds: { ssm, mlp } } }],
      } as unknown as PruningRecord).filter((warning) => warning.includes('doomed'));
    expect(warned('loss', 0.514, 0.04)).toEqual([
      'The cut came before the doomed units were at zero: 51% (ssm) of the norm that they were chosen with was left. ' +
        'More --reg-epochs bring them closer, and --reg-apply shrink takes them to zero in any number of epochs.',
    ]);
    expect(warned('shrink', 0.514, 0.2)).toEqual([
      expect.stringMatching(/51% \(ssm\) and 20% \(mlp\).*bring them closer\.$/),
    ]);
    expect(warned('loss', 0.049, 0)).toEqual([]);
  });

  it("of Refill's first cut is where it left one unit, and the share that leaves more", () => {
    const widthsBefore = { 'blocks.0.ssm': 384, 'blocks.1.ssm': 384 };
    const cut = (first: number, second: number): string[] =>
      warningsOf({
        ...record,
        kinds: { 'blocks.0.ssm': 'ssm', 'blocks.1.ssm': 'ssm' },
        rates: { ssm: 0.9 },
        widthsBefore,
        denseWidths: widthsBefore,
        widthsAfter: { 'blocks.0.ssm': 38, 'blocks.1.ssm': 40 },
        rounds: [
          {
            rates: { ssm: 0.9 },
            widths: { 'blocks.0.ssm': 38, 'blocks.1.ssm': 40 },
            returned: {
              'blocks.0.ssm': Array.from({ length: first }, (_, i) => i),
              'blocks.1.ssm': Array.from({ length: second }, (_, i) => i),
            },
          },
        ],
      } as unknown as PruningRecord).filter((warning) => warning.includes('Refill'));
    expect(cut(37, 38)).toEqual([
      "Refill's first cut left one unit in 1 of 2 groups: the others that stay there were chosen by what they would do in a " +
        'model that is no more. --fillback 0.052 lets the first cut choose about half of them.',
    ]);
    expect(cut(36, 38)).toEqual([]);
  });

  it('advises flags that the command has, and only what would have helped', () => {
    expect(warningsOf(record)).toEqual([
      'Next to nothing is left of blocks.1.attn (1 of 6 heads): what passes through there may be lost, and ' +
        'training may not bring it back. More stays with --max-rate 0.67, or the same share of each group ' +
        '(--ranking layer), or a lower rate.',
    ]);
    const [ofImp] = warningsOf(record, impFlags);
    expect(ofImp).toContain('(--sorting_mode layerwise)');
    expect(ofImp).not.toMatch(/--(max-rate|ranking)/);
    // 0.9 of each would leave one head, too.
    const deep = { ...record, rounds: [{ ...record.rounds[0], rates: { heads: 0.9 } }] };
    expect(warningsOf(deep as PruningRecord, impFlags)[0]).toMatch(
      /More stays with a lower rate\.$/,
    );
    const nearZero = {
      ...record,
      method: 'rsst',
      rates: { heads: 0 },
      rounds: [{ rates: { heads: 0 } }],
    };
    expect(warningsOf(nearZero as unknown as PruningRecord)[0]).toMatch(
      /More stays with a smaller --near-zero, or a weaker penalty \(--reg-strength\)\.$/,
    );
    const alone = { ...record, leftAlone: ['mlp'] };
    expect(rateRemarks(alone)).toEqual([
      'Only heads was to be cut (--target): mlp keeps all units.',
    ]);
    expect(rateRemarks(alone, impFlags)).toEqual([
      'Only heads was to be cut: mlp keeps all units.',
    ]);
  });

  it('of a pass over images is what it is for', () => {
    expect(['before', 'after the cut', 'scores', 'batch normalisation'].map(passLabel)).toEqual([
      'accuracy before',
      'accuracy after the cut',
      'scores',
      'batch normalisation',
    ]);
  });
});
