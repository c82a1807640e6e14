import { describe, expect, it } from 'vitest';
import { asTyped, programWords } from './called-as.js';

describe('the program as it is called', () => {
  it.each([
    ['/usr/local/bin/mamba-prune', 'mamba-prune'],
    ['/home/me/project/node_modules/.bin/mamba-prune', 'npx mamba-prune'],
    ['/home/me/.npm/_npx/1a2b/node_modules/.bin/mamba-prune', 'npx mamba-prune'],
    ['/clone/packages/mamba-prune/dist/cli/main.js', 'npx mamba-prune'],
    // A program that uses the library.
    ['/home/me/project/prune-all.js', 'npx mamba-prune'],
    [undefined, 'npx mamba-prune'],
  ])('as %s is typed as %s', (script, words) => {
    // Without one it is that of this process, which is no installation.
    expect(programWords(script).join(' ')).toBe(words);
  });
});

describe('commands in texts', () => {
  const here = '/project/node_modules/.bin/mamba-prune';

  it('are those to type', () => {
    expect(asTyped("see 'mamba-prune models', or mamba-prune data get cifar10.", here)).toBe(
      "see 'npx mamba-prune models', or npx mamba-prune data get cifar10.",
    );
    const text = 'Go on with: mamba-prune train --resume';
    expect(asTyped(text, '/usr/bin/mamba-prune')).toBe(text);
  });

  it('are neither names of packages nor what begins a message, and none twice', () => {
    const texts = [
      'npm install mamba-prune, or @mamba-prune/report',
      'npx mamba-prune bench runs/a',
      'Usage: mamba-prune train [options]',
      'mamba-prune train: --epochs is missing',
      'written by mamba-prune 0.9',
    ];
    expect(texts.map((text) => asTyped(text, here))).toEqual(texts);
  });
});
