import { describe, expect, it } from 'vitest';
import { checksOf, inRange, rangeWords, shown } from './checks.js';
import { UsageError } from './errors.js';

describe('rangeWords', () => {
  it.each([
    ['an integer', { min: 1, max: 8 }, 'an integer from 1 to 8'],
    ['an integer', { min: 1 }, 'an integer of at least 1'],
    ['a number', { above: 0 }, 'a number above 0'],
    ['a number', { above: 0, max: 1 }, 'a number above 0 and at most 1'],
    ['a number', { min: 0, below: 1 }, 'a number of at least 0 and below 1'],
    ['numbers', { max: 3 }, 'numbers of at most 3'],
    ['a number', { below: 3 }, 'a number below 3'],
    ['a number', {}, 'a number'],
  ])('%s in %j: %s', (kind, range, words) => {
    expect(rangeWords(kind, range)).toBe(words);
  });
});

describe('inRange', () => {
  it('counts the ends of min and max, not those of above and below, and nothing that is infinite', () => {
    expect([0, 1].map((value) => inRange(value, { min: 0, max: 1 }))).toEqual([true, true]);
    expect([0, 1].map((value) => inRange(value, { above: 0, below: 1 }))).toEqual([false, false]);
    expect([NaN, Infinity, -Infinity].map((value) => inRange(value, {}))).toEqual(
      Array(3).fill(false),
    );
  });
});

describe('shown', () => {
  it('is one line, whatever the value is', () => {
    const values = [3, 'a\nb', true, null, undefined, [1], {}, () => 0, 1n];
    expect(values.map(shown)).toEqual([
      '3',
      String.raw`'a\nb'`,
      'true',
      'null',
      'undefined',
      'an array',
      'an object',
      'a function',
      'a bigint',
    ]);
  });
});

describe('checksOf', () => {
  const { number, integer, oneOf } = checksOf('here');

  it('gives back what is right', () => {
    expect(number('share', 0.5, { min: 0, max: 1 })).toBe(0.5);
    expect(integer('count', 3, { min: 1 })).toBe(3);
    expect(oneOf('kind', 'b', ['a', 'b'])).toBe('b');
  });

  it.each([
    [() => number('share', 2, { max: 1 }), 'here: share: got 2, expected a number of at most 1.'],
    [() => number('share', '2'), "here: share: got '2', expected a number."],
    [
      () => integer('count', 0.5, { min: 1 }),
      'here: count: got 0.5, expected an integer of at least 1.',
    ],
    [() => integer('count', 2 ** 53, { min: 1 }), 'got 9007199254740992, expected an integer'],
    [() => oneOf('kind', 'c', ['a', 'b']), "here: kind: got 'c', expected one of a, b."],
    [
      () => number('lr', 0, { above: 0 }, { expected: 'a rate', advice: 'Raise it.' }),
      'here: lr: got 0, expected a rate. Raise it.',
    ],
  ])('refuses with a UsageError: %s', (call, message) => {
    expect(call).toThrow(UsageError);
    expect(call).toThrow(message);
  });

  it('throws the error that it is told to', () => {
    const { integer: ranged } = checksOf('there', (message) => new RangeError(message));
    expect(() => ranged('n', -1, { min: 0 })).toThrow(RangeError);
  });
});
