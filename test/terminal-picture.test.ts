// The parts of scripts/terminal-picture.mjs: what a command leaves on a terminal, and its colours as HTML.
import { spawnSync } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { htmlOfTerminal } from '../scripts/terminal-html.mjs';
import { screenAfter } from '../scripts/terminal-screen.mjs';

const hasTmux = spawnSync('tmux', ['-V']).status === 0;

describe('colours of a terminal as HTML', () => {
  it('last until a code ends them', () => {
    expect(htmlOfTerminal('\x1b[1ma\x1b[32mb\x1b[22mc\x1b[39md')).toBe(
      '<span class="bold">a</span><span class="bold green">b</span><span class="green">c</span>d',
    );
    expect(htmlOfTerminal('\x1b[2;36ma\x1b[0mb\x1b[mc')).toBe('<span class="dim cyan">a</span>bc');
  });

  it('leave the text as it is, also what HTML has marks for', () => {
    expect(htmlOfTerminal('\x1b[95ma < b & c')).toBe('a &lt; b &amp; c');
  });
});

describe.skipIf(!hasTmux)(`a terminal${hasTmux ? '' : ' (skipped: there is no tmux)'}`, () => {
  it('has the last of what was written in a place, wraps at its width and keeps colours', () => {
    const long = 'x'.repeat(25);
    const screen = screenAfter(
      `printf 'half\\r\\033[Kwhole\\n\\033[32mgreen\\033[0m\\n${long}\\n\\n'; echo "it's"`,
      { columns: 20 },
    );
    expect(screen).toContain('\x1b[32mgreen');
    expect(stripVTControlCharacters(screen).split('\n')).toEqual([
      'whole',
      'green',
      'x'.repeat(20),
      'xxxxx',
      '',
      "it's",
    ]);
  });

  it('makes no picture of a command that fails', () => {
    expect(() => screenAfter('echo before; (exit 3)')).toThrow(
      /ended with 3, expected 0\.\nbefore/,
    );
  });
});
