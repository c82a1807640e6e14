// The last words of the program, in a terminal and in a pipe.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';

const built = transpiledMambaPrune();
const main = join(built.src, 'cli', 'main.js');

afterAll(() => {
  built.remove();
});

/** With too few files that may be opened, which the program says before it has loaded anything. */
const limited = `ulimit -n 64 && exec '${process.execPath}' '${main}' --version`;

describe('what the program says where it cannot begin', () => {
  it('is one line in a pipe', () => {
    const { status, stderr } = spawnSync('bash', ['-c', limited], { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toBe(
      'mamba-prune: this process may have 64 files open (ulimit -n), expected at least 192. Raise the limit.\n',
    );
  });

  it.runIf(spawnSync('script', ['--version']).status === 0)(
    'is broken into lines of the terminal',
    () => {
      const { stdout } = spawnSync('script', ['-qec', `stty cols 60; ${limited}`, '/dev/null'], {
        encoding: 'utf8',
      });
      expect(stdout.replaceAll('\r', '')).toBe(
        'mamba-prune: this process may have 64 files open (ulimit\n' +
          '  -n), expected at least 192. Raise the limit.\n',
      );
    },
  );
});
