import { describe, expect, it } from 'vitest';
import { matcherOf } from './name-pattern.js';

describe('patterns of names', () => {
  it.each([
    ['*.ssm', 'blocks.10.ssm', true],
    ['blocks.0.*', 'blocks.0.ssm', true],
    ['blocks.0.*', 'blocks.00.ssm', false],
    ['blocks.?.ssm', 'blocks.1.ssm', true],
    ['blocks.?.ssm', 'blocks.10.ssm', false],
    ['blocks.0.ssm', 'blocksx0xssm', false],
    ['a+(b)', 'a+(b)', true],
    ['a+(b)', 'aab', false],
    ['seed-*/refill-*', 'seed-10/refill-70', true],
    ['seed-*-*', 'seed-1', false],
    ['*ab*ab', 'ab', false],
    ['*ab*ab', 'xabab', true],
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['?', '\u{1f40d}', true],
  ])('%s and %s: %s', (pattern, name, fits) => {
    expect(matcherOf(pattern)(name)).toBe(fits);
  });

  it('answers for many stars where a regular expression would try more ways than there is time for', () => {
    expect(matcherOf(`${'*a'.repeat(40)}b`)('a'.repeat(200))).toBe(false);
  });
});
