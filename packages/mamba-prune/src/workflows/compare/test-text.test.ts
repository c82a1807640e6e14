import { describe, expect, it } from 'vitest';
import type { MethodTest } from './outcomes.js';
import type { CompareResults } from './results.js';
import { testNote, testSections } from './test-text.js';

const test = (rate: number, more: Partial<MethodTest> = {}): MethodTest => ({
  methods: ['refill', 'rsst'],
  rate,
  pairs: 3,
  difference: -0.0113,
  deviation: 0.002,
  t: -9.8,
  p: 0.0103,
  pHolm: 0.0206,
  interval: [-0.0163, -0.0063],
  confidence: 0.95,
  ...more,
});

const results = (tests: readonly MethodTest[], more: Partial<CompareResults> = {}) => ({
  done: 1,
  planned: 1,
  methods: [],
  runs: [],
  baselineTests: [],
  tests,
  ...more,
});

describe('testSections', () => {
  it('holds RSST against Refill, with sign and interval of that', () => {
    const [section] = testSections(results([test(0.9)]));
    expect(section?.title).toBe('Refill against RSST');
    expect(section?.tests[0]?.text).toBe(
      'RSST - Refill: +1.13 points (95% interval +0.63 to +1.63), t = 9.80, p = 0.010: RSST is better',
    );
  });

  it('lets the corrected p decide where there are several rates, and names the correction', () => {
    const [section] = testSections(
      results([test(0.5, { p: 0.04, pHolm: 0.08 }), test(0.9, { p: 0.0004, pHolm: 0.0008 })]),
    );
    const texts = section?.tests.map(({ text }) => text) ?? [];
    expect(texts[0]).toMatch(/p = 0\.040, Holm's over 2 rates p = 0\.080: no difference shown$/);
    expect(texts[1]).toMatch(/p < 0\.001, Holm's over 2 rates p < 0\.001: RSST is better$/);
  });

  it('counts only the rates at which there was a test of the same two', () => {
    const none = { t: null, p: null, pHolm: null, interval: null };
    const other = test(0.9, { methods: ['rsst', 'oneshot'] });
    const [section] = testSections(
      results([], { baselineTests: [other, test(0.5, { methods: ['rsst', 'oneshot'], ...none })] }),
    );
    expect(section?.tests.map(({ text }) => text)).toEqual([
      expect.stringMatching(/p = 0\.010: one-shot is better$/) as string,
      expect.stringContaining('without any spread there is no test') as string,
    ]);
  });

  it('gives no sign to what is nothing but a rounding', () => {
    const even = test(0.9, { difference: 3e-17, t: 2e-15, p: 1, pHolm: 1 });
    const [section] = testSections(results([even]));
    expect(section?.tests[0]?.text).toMatch(
      /^RSST - Refill: 0\.00 points .*, t = 0\.00, p = 1\.000/,
    );
  });

  it('has a part for training from scratch where there is one', () => {
    const scratchTests = [test(0.9, { methods: ['oneshot', 'scratch'] })];
    const sections = testSections(results([test(0.9)], { scratchTests }));
    expect(sections.map(({ title }) => title)).toEqual([
      'Refill against RSST',
      'Against training from scratch',
    ]);
    expect(sections[1]?.tests[0]?.text).toMatch(
      /^one-shot - scratch: -1\.13 points.*scratch is better$/,
    );
  });
});

describe('testNote', () => {
  const none = { pairs: 1, t: null, p: null, pHolm: null, interval: null };
  const oneshot = { methods: ['rsst', 'oneshot'] } as const;

  it.each<[string, CompareResults, string]>([
    ['nothing with one seed', results([test(0.5, none), test(0.9, none)]), ''],
    ['no correction of one rate', results([test(0.5), test(0.9, none)]), 'Paired.'],
    [
      'no correction of two pairs, each at one rate',
      results([test(0.5)], { baselineTests: [test(0.9, oneshot)] }),
      'Paired.',
    ],
  ])('says %s', (_, of, note) => {
    expect(testNote(of, 'Paired.')).toBe(note);
  });

  it("names Holm's correction where one pair was tested at several rates", () => {
    expect(testNote(results([test(0.5), test(0.9)]), 'Paired.')).toMatch(/^Paired\. Holm's corr/);
  });
});
