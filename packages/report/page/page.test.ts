// What the page works out by itself, without a browser.
import * as Plot from '@observablehq/plot';
import { DOMParser } from 'linkedom';
import { describe, expect, it } from 'vitest';
import type { ReportData } from '../src/page-data/report.js';
import type { RunData } from '../src/page-data/run.js';
import { fateAfter } from './charts/fate.js';
import { runColours } from './colours.js';
import { bytes, count, digits, points, statistic, tick, tickFormat, tickTexts } from './format.js';
import { en } from './i18n/en.js';
import { translator } from './i18n/index.js';
import { zh } from './i18n/zh.js';
import { updated } from './live.js';
import { paretoFront, paretoFronts } from './pareto.js';
import { decodeScores, scoredUnits, thresholdOf } from './scores.js';
import {
  blockName,
  epochsText,
  hasCorrection,
  methodText,
  rateText,
  removedText,
  shortNames,
  testsTitle,
  verdictText,
} from './words.js';

describe('the Pareto front', () => {
  it('leaves out what another model beats at its price or below', () => {
    const models = [
      { cost: 3, accuracy: 0.9 },
      { cost: 1, accuracy: 0.7 },
      { cost: 2, accuracy: 0.7 },
      { cost: 2, accuracy: 0.8 },
      { cost: 4, accuracy: 0.89 },
    ];
    expect(paretoFront(models)).toEqual([models[1], models[3], models[0]]);
    expect(paretoFront([])).toEqual([]);
  });

  it('is one for each data set: a model of easier images beats none of harder ones', () => {
    const easy = { cost: 1, accuracy: 0.9, data: 'easy' };
    const hard = { cost: 1, accuracy: 0.7, data: 'hard' };
    const harder = { cost: 2, accuracy: 0.6, data: 'hard' };
    expect(paretoFronts([hard, easy, harder])).toEqual([[hard], [easy]]);
  });
});

describe('the title of the tests', () => {
  it('names a test only where one was made', () => {
    const title = (...p: (number | null)[]): string =>
      testsTitle(
        p.map((each) => ({ p: each })),
        translator('en'),
      );
    expect(title(null, null)).toBe('Differences in accuracy between methods over the same seeds');
    expect(title(0.1, null)).toBe("Student's paired t-test over the seeds, two-sided");
  });
});

describe("Holm's correction", () => {
  const test = (pHolm: number | null, ...methods: [string, string]) => ({ methods, pHolm });

  it('is shown where one pair of methods was tested at several rates, and nowhere else', () => {
    expect(hasCorrection([test(0.1, 'rsst', 'refill'), test(0.2, 'rsst', 'refill')])).toBe(true);
    expect(hasCorrection([test(0.1, 'rsst', 'refill'), test(null, 'rsst', 'refill')])).toBe(false);
    expect(hasCorrection([test(0.1, 'rsst', 'refill'), test(0.1, 'rsst', 'oneshot')])).toBe(false);
  });
});

describe('scores', () => {
  const packed = (levels: number[]): string =>
    btoa(String.fromCharCode(...new Uint8Array(Uint16Array.from(levels).buffer)));
  const group = (scores: number[], fates: string, max = 65_535) => ({
    name: 'g',
    kind: 'ssm',
    min: 0,
    max,
    scores: packed(scores),
    fates,
  });

  it('come back from two bytes each', () => {
    expect(decodeScores({ ...group([0, 65_535], 'kk'), min: 2, max: 4 })).toEqual([2, 4]);
  });

  it('are divided by the mean of their group where they were ranked so', () => {
    const scores = { measure: '', groups: [], ranking: 'global', normalize: 'mean' };
    const groups = [group([10, 30], 'xk'), group([100, 300], 'xk')];
    expect(scoredUnits(scores, groups).map(({ value }) => value)).toEqual([0.5, 1.5, 0.5, 1.5]);
    const raw = scoredUnits({ ...scores, normalize: 'none' }, groups);
    expect(raw.map(({ value }) => value)).toEqual([10, 30, 100, 300]);
  });

  it('have a threshold half way between removed and kept, if one parts them', () => {
    const unit = (value: number, fate: 'k' | 'x' | 'r') => ({ value, fate });
    expect(thresholdOf([unit(1, 'x'), unit(4, 'k'), unit(0, 'r')])).toBe(2.5);
    expect(thresholdOf([unit(5, 'x'), unit(4, 'k')])).toBeUndefined();
    expect(thresholdOf([unit(4, 'k')])).toBeUndefined();
  });
});

describe('the fate of a unit', () => {
  it('depends on the round that is shown', () => {
    expect([0, 1, 2].map((round) => fateAfter('2', round, false))).toEqual([
      'kept',
      'kept',
      'removedNow',
    ]);
    expect(fateAfter('1', 2, false)).toBe('removedEarlier');
    expect(fateAfter('-', 0, false)).toBe('removedEarlier');
    expect(fateAfter('0', 1, true)).toBe('returned');
  });
});

describe('texts', () => {
  it('say the same things in both languages, with the same values', () => {
    const values = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();
    expect(Object.keys(zh)).toEqual(Object.keys(en));
    for (const [key, text] of Object.entries(en)) {
      expect([key, values(zh[key as keyof typeof en])]).toEqual([key, values(text)]);
    }
  });

  it('put values into their places', () => {
    expect(translator('en')('ofUnits', { kept: 3, total: 9 })).toBe('3 of 9');
    expect(translator('zh')('ofUnits', { kept: 3, total: 9 })).toBe('9 中的 3');
  });

  it('count one epoch and one seed as one', () => {
    const t = translator('en');
    expect([epochsText(1, t), epochsText(1_200, t)]).toEqual(['one epoch', '1,200 epochs']);
    const epochs = epochsText(1, t);
    const names = { arch: 'a', dataset: 'd', epochs, finetune: epochs, seeds: t('seedOne') };
    expect(t('methodsHelp', names)).toBe(
      'a on d: one epoch dense, then one epoch for every method, at equal size. One seed.',
    );
  });

  it('say of a test without a result why there is none', () => {
    const methods = ['refill', 'oneshot'] as [string, string];
    const rest = { rate: 0.5, t: null, interval: null, confidence: 0.95, pHolm: null };
    const of = (pairs: number, p: number | null, difference = 0) =>
      verdictText({ ...rest, methods, pairs, p, difference }, translator('en'));
    expect([of(1, null), of(2, null)]).toEqual(['one seed: no test', 'no spread: no test']);
    expect([of(3, 0.2), of(3, 0.01, -0.1)]).toEqual(['no difference shown', 'one-shot is better']);
  });

  it('name blocks and rates briefly', () => {
    expect(blockName('blocks.12.ssm')).toBe('12');
    expect(blockName('layer1.0.conv1')).toBe('1.0');
    // Vim, and VMamba with its stages.
    expect(blockName('layers.3.ssm')).toBe('3');
    expect(blockName('layers.1.blocks.2.op')).toBe('1.2');
    expect(
      shortNames([{ name: 'layers.0.blocks.1.op' }, { name: 'layers.0.blocks.1.mlp' }]),
    ).toEqual(['0.1.op', '0.1.mlp']);
    const pruning = { rates: { ssm: 0.7, mlp: 0.7 } } as unknown as RunData['pruning'];
    expect(rateText({ pruning })).toBe('70%');
    const two = { rates: { ssm: 0.125, mlp: 0.5 } } as unknown as RunData['pruning'];
    expect(rateText({ pruning: two })).toBe('ssm 12.5%, mlp 50%');
  });

  it('say what is gone, where that is not what was asked for', () => {
    const gone = (reached?: Record<string, number>) =>
      removedText({ pruning: { rates: { ssm: 0.9, mlp: 0.9 }, reached } } as unknown as RunData);
    expect(gone()).toBe('90%');
    // Widths are whole numbers.
    expect(gone({ ssm: 0.8984, mlp: 0.9004 })).toBe('90%');
    expect(gone({ ssm: 0.1, mlp: 0.1 })).toBe('10%');
    expect(gone({ ssm: 0.0977, mlp: 0.8999 })).toBe('ssm 9.8%, mlp 90%');
    expect(removedText({ pruning: undefined })).toBe('');
    const rates = { ssm: 0.708984, mlp: 0.709961 };
    const pruning = { rates, reached: rates, budget: ['MACs 0.3x', 'file 5.00 MiB'] };
    expect(removedText({ pruning } as unknown as RunData)).toBe(
      'ssm 70.9%, mlp 71% (MACs 0.3x, file 5.00 MiB)',
    );
    const trained = (isDense: boolean) =>
      methodText({ method: 'train', isDense } as unknown as RunData, translator('en'));
    expect([trained(true), trained(false)]).toEqual(['dense training', 'pruned, trained on']);
  });

  it('tell the ticks of an axis apart where they are nearly equal', () => {
    expect(tickTexts(count, [20_110_000, 20_112_000, 20_114_000])).toEqual([
      '20.110 M',
      '20.112 M',
      '20.114 M',
    ]);
    expect(tickTexts(count, [999_900, 1_000_000, 1_000_100])).toEqual([
      '0.9999 M',
      '1.0000 M',
      '1.0001 M',
    ]);
    const [first, second] = tickTexts((value) => bytes(value), [2 ** 21, 2 ** 21 + 2048]);
    expect([first, second]).toEqual(['2.000 MiB', '2.002 MiB']);
    expect(tickTexts(count, [1e6, 2e6, 2.5e6])).toEqual(['1 M', '2 M', '2.5 M']);
    expect(tickTexts(count, [0, 0])).toEqual(['0', '0']);
  });

  it('are told apart in what Plot draws', () => {
    const document = new DOMParser().parseFromString(
      '<svg xmlns="http://www.w3.org/2000/svg"/>',
      'image/svg+xml',
    ) as unknown as Document;
    const picture = Plot.plot({
      document,
      x: { domain: [20_110_000, 20_114_000] },
      marks: [Plot.axisX({ tickFormat: tickFormat(count), ticks: 3 })],
    });
    const texts = Array.from(picture.querySelectorAll('text'), ({ textContent }) => textContent);
    expect(texts).toEqual([0, 1, 2, 3, 4].map((i) => `20.11${i} M`));
  });

  it('give numbers their units', () => {
    expect([digits(0), tick('3.00 M'), tick('2.50 ms'), tick('100 K')]).toEqual([
      '0',
      '3 M',
      '2.5 ms',
      '100 K',
    ]);
    expect([count(999_950), count(157_000), bytes(2 ** 21), digits(0.0123)]).toEqual([
      '1.00 M',
      '157 K',
      '2.00 MiB',
      '0.0123',
    ]);
    expect([points(0.0012), points(-0.25, 1)]).toEqual(['+0.12', '−25.0']);
    expect([points(-0.00001), points(0), statistic(-0.001), statistic(-3)]).toEqual([
      '0.00',
      '0.00',
      '0.00',
      '−3.00',
    ]);
  });
});

describe('the colour of a run', () => {
  const runs = (...methods: RunData['method'][]): RunData[] =>
    methods.map((method, i) => ({ id: String(i), method }) as RunData);
  const coloursOf = (all: RunData[]): string[] => all.map(runColours(all));

  it('is its own among few, and grey for the only dense one', () => {
    expect(coloursOf(runs('train', 'rsst', 'rsst'))).toEqual([
      'var(--dense)',
      'var(--series-1)',
      'var(--series-2)',
    ]);
    expect(new Set(coloursOf(runs('train', 'train', 'rsst'))).size).toBe(3);
  });

  it('is that of its method among many', () => {
    const many = runs('train', 'train', ...Array<'rsst'>(6).fill('rsst'));
    expect([...new Set(coloursOf(many))]).toEqual(['var(--dense)', 'var(--rsst)']);
  });
});

describe('an update of the studio', () => {
  it('replaces what changed, and drops what is gone', () => {
    const run = (id: string, accuracy: number) => ({ id, accuracy }) as RunData;
    const before = { runs: [run('a', 1), run('b', 2)], comparisons: [], notes: [] };
    const update = { order: ['c', 'b'], runs: [run('c', 3)], comparisons: [], notes: ['n'] };
    const after = updated(before as unknown as ReportData, update);
    expect(after.runs).toEqual([run('c', 3), run('b', 2)]);
    expect(after.notes).toEqual(['n']);
  });
});
