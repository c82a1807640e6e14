import { describe, expect, it } from 'vitest';
import { selectRuns } from './select-runs.js';

const runs = [
  { name: 'seed-0/base' },
  { name: 'seed-0/oneshot-70', after: 'seed-0/base' },
  { name: 'seed-0/scratch-70', after: 'seed-0/oneshot-70' },
  { name: 'seed-1/base' },
  { name: 'seed-1/oneshot-70', after: 'seed-1/base' },
  { name: 'seed-1/oneshot-7', after: 'seed-1/base' },
];

const selected = (patterns: readonly string[] | undefined, done: readonly string[] = []) =>
  selectRuns(runs, patterns, ({ name }) => done.includes(name)).map(({ name }) => name);

describe('selectRuns', () => {
  it('takes all runs where none are named', () => {
    expect(selected(undefined)).toEqual(runs.map(({ name }) => name));
  });

  it('takes those that a pattern matches as a whole, in their order', () => {
    expect(selected(['seed-1/*'])).toEqual([
      'seed-1/base',
      'seed-1/oneshot-70',
      'seed-1/oneshot-7',
    ]);
    expect(selected(['*/oneshot-7', 'seed-0/base'])).toEqual([
      'seed-0/base',
      'seed-1/base',
      'seed-1/oneshot-7',
    ]);
    expect(selected(['s*-*0/*a*e'])).toEqual(['seed-0/base']);
  });

  it('adds what they need and what these need, unless it is done', () => {
    expect(selected(['seed-0/scratch-70'])).toEqual([
      'seed-0/base',
      'seed-0/oneshot-70',
      'seed-0/scratch-70',
    ]);
    expect(selected(['seed-0/scratch-70'], ['seed-0/oneshot-70'])).toEqual(['seed-0/scratch-70']);
    // What is done needs nothing.
    expect(selected(['seed-0/oneshot-70'], ['seed-0/oneshot-70'])).toEqual(['seed-0/oneshot-70']);
  });

  it.each(['seed-2/*', '', 'oneshot-70', 'seed-0/base*base', '[', '.*'])(
    'refuses a pattern that matches nothing: %j',
    (pattern) => {
      expect(() => selected(['*', pattern])).toThrow(
        `got \`only\` ${JSON.stringify(pattern)}, which names no run, expected a name such as seed-0/base`,
      );
    },
  );
});
