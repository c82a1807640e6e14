// The tests of a comparison in words.
import { pointsText } from '../../format.js';
import { methodLabel } from './methods.js';
import type { MethodTest } from './outcomes.js';
import type { CompareResults } from './results.js';

/** Without the sign of a rounding, as points. */
const tText = (t: number): string => t.toFixed(2).replace(/^-(?=0\.00$)/, '');

/** 0.034, or < 0.001: more digits than that mean nothing. */
export const pText = (p: number): string => (p < 0.001 ? '< 0.001' : p.toFixed(3));

const pEquals = (p: number): string => (p < 0.001 ? pText(p) : `= ${pText(p)}`);

export interface TestSection {
  readonly title: string;
  readonly tests: readonly { readonly rate: number; readonly text: string }[];
}

/** What is said of the tests, each a sentence without an end; rate after rate. */
export function testSections({
  tests,
  baselineTests,
  scratchTests = [],
}: CompareResults): TestSection[] {
  return [
    // RSST is what the others are held against.
    { title: 'Refill against RSST', tests: tests.map(turned) },
    { title: 'Against one-shot pruning', tests: baselineTests },
    { title: 'Against training from scratch', tests: scratchTests },
  ]
    .filter((section) => section.tests.length > 0)
    .map(({ title, tests: all }) => ({
      title,
      tests: all.map((test) => ({ rate: test.rate, text: testText(test, ratesOf(test, all)) })),
    }));
}

/** At how many rates the same two methods were tested. */
const ratesOf = ({ methods }: MethodTest, all: readonly MethodTest[]): number =>
  all.filter((test) => String(test.methods) === String(methods) && test.p !== null).length;

/** How it was tested, for the end of a table; empty where there was no test, as with one seed. @param test - its name */
export function testNote(
  { tests, baselineTests, scratchTests = [] }: CompareResults,
  test: string,
): string {
  const all = [...tests, ...baselineTests, ...scratchTests];
  const rates = Math.max(0, ...all.map((each) => ratesOf(each, all)));
  if (rates === 0) return '';
  const correction =
    "Holm's correction (1979) is over the rates of one pair of methods, and decides the verdict; intervals are not corrected.";
  return rates === 1 ? test : `${test} ${correction}`;
}

/** With the two methods the other way round. */
function turned(test: MethodTest): MethodTest {
  const { methods, difference, interval, t } = test;
  return {
    ...test,
    methods: [methods[1], methods[0]],
    difference: -difference,
    interval: interval && [-interval[1], -interval[0]],
    t: t === null ? null : -t,
  };
}

/**
 * The outcome of a test as a sentence without an end.
 * @param rates - over which its p is corrected
 */
function testText(test: MethodTest, rates: number): string {
  const { methods, difference, interval, t, p, pHolm, pairs, confidence } = test;
  const [a, b] = methods.map(methodLabel);
  const head = `${a ?? ''} - ${b ?? ''}: ${pointsText(difference)} points`;
  if (t === null || p === null || interval === null) {
    return pairs < 2
      ? `${head} (one seed: no test)`
      : `${head} for every seed: without any spread there is no test`;
  }
  const share = `${100 * confidence}%`;
  const isCorrected = rates > 1 && pHolm !== null;
  const verdict =
    (isCorrected ? pHolm : p) < 1 - confidence
      ? `${difference > 0 ? (a ?? '') : (b ?? '')} is better`
      : 'no difference shown';
  const corrected = isCorrected ? `, Holm's over ${rates} rates p ${pEquals(pHolm)}` : '';
  return (
    `${head} (${share} interval ${pointsText(interval[0])} to ${pointsText(interval[1])}), ` +
    `t = ${tText(t)}, p ${pEquals(p)}${corrected}: ${verdict}`
  );
}
