// The range that the refusal of a number states is the one that is accepted, of every flag of every command.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from './testing/run-cli.js';

/** Every command with what it is asked about, which there is not: it ends before it computes. */
const commands: Readonly<Record<string, readonly string[]>> = {
  quickstart: [],
  train: ['--dataset', 'folder', '--data', '/nonexistent'],
  prune: ['/nonexistent.safetensors'],
  imp: ['--arch', 'resnet20', '--dataset', 'folder', '--data', '/nonexistent'],
  eval: ['/nonexistent.safetensors'],
  predict: ['/nonexistent.safetensors', '/nonexistent.png'],
  inspect: ['/nonexistent.safetensors'],
  sensitivity: ['/nonexistent.safetensors', '--dataset', 'folder', '--data', '/nonexistent'],
  bench: ['/nonexistent.safetensors'],
  compare: ['--dataset', 'folder', '--data', '/nonexistent'],
  report: ['/nonexistent'],
  studio: ['/nonexistent'],
  export: ['/nonexistent.safetensors'],
  push: ['/nonexistent', 'owner/name'],
};

/** Those that a command has without showing them. */
const hidden = ['--threads', '--seed'];

/** Ends of a range, as a message states it, with a number on either side of each. */
interface End {
  readonly inside: number;
  readonly outside: number;
}

/** A little of a number, whatever its size, that it still has the digits for. */
const bit = (value: number): number => Math.max(Math.abs(value) * 1e-9, 1e-9);

function endsOf(stated: string): End[] {
  // What may stand in place of the number has a range of its own.
  const [own = ''] = stated.split(', or ');
  const step = (value: number): number => (/\bintegers?\b/.test(own) ? 1 : bit(value));
  const number = (text = ''): number => Number(text.replace(/x?[.,]*$/, ''));
  const [, from, to] = /from (\S+) to (\S+)/.exec(own) ?? [];
  const closed = (least: number, sign: number): End => ({
    inside: least,
    outside: least + sign * step(least),
  });
  const open = (end: number, sign: number): End => ({
    inside: end - sign * step(end),
    outside: end,
  });
  if (from !== undefined) return [closed(number(from), -1), closed(number(to), 1)];
  const found = (pattern: RegExp, end: (value: number) => End): End[] => {
    const [, text] = pattern.exec(own) ?? [];
    return text === undefined ? [] : [end(number(text))];
  };
  return [
    ...found(/of at least (\S+)/, (value) => closed(value, -1)),
    ...found(/\babove (\S+)/, (value) => open(value, -1)),
    ...found(/at most (\S+)/, (value) => closed(value, 1)),
    ...found(/\bbelow (\S+)/, (value) => open(value, 1)),
  ];
}

/** As every option takes it: without an exponent. */
const plain = (value: number): string =>
  Number.isInteger(value) ? BigInt(value).toString() : value.toFixed(12);

/** What a command says of a value; the flag that there is not ends it before it does anything. */
async function said(command: string, flag: string, value: string): Promise<string> {
  const { stderr } = await runCli([command, `${flag}=${value}`, '--no-such-flag']);
  return stderr;
}

async function numericFlags(command: string): Promise<{ flag: string; stated: string }[]> {
  const { stdout } = await runCli([command, '--help']);
  const shown = Array.from(stdout.matchAll(/^ {2}(--[\w-]+) [<[]/gm), ([, flag = '']) => flag);
  const found: { flag: string; stated: string }[] = [];
  for (const flag of new Set([...shown, ...hidden])) {
    const [, stated] =
      /is invalid\. Expected ((?:an? )?(?:numbers?|integers?|shares)\b.*)/.exec(
        await said(command, flag, 'NaN'),
      ) ?? [];
    if (stated !== undefined) found.push({ flag, stated });
  }
  return found;
}

describe.each(Object.keys(commands))('the numbers of %s', (command) => {
  it('are taken and refused as the refusal says', async () => {
    const flags = await numericFlags(command);
    expect(flags.length).toBeGreaterThan(1);
    for (const { flag, stated } of flags) {
      const ends = endsOf(stated);
      expect(ends, `${flag}: ${stated}`).toHaveLength(2);
      for (const { inside, outside } of ends) {
        const unit = /\b0x /.test(stated) && !stated.includes(', or ') ? 'x' : '';
        const [taken, refused] = [inside, outside].map((value) => plain(value) + unit);
        expect(await said(command, flag, taken ?? ''), `${flag}=${taken}`).not.toContain('invalid');
        expect(await said(command, flag, refused ?? ''), `${flag}=${refused}`).toContain(
          `is invalid. Expected ${stated}`,
        );
      }
    }
  });
});

/** It begins, or starts processes, before it looks for what there is not. */
const begins = ['quickstart', 'studio'];
const starts = ['--workers', '--threads', '--jobs'];

describe.each(Object.keys(commands).filter((name) => !begins.includes(name)))(
  'what %s does with a number at an end of its range',
  (command) => {
    it('has no other range for it', async () => {
      for (const { flag, stated } of await numericFlags(command)) {
        if (starts.includes(flag)) continue;
        for (const { inside } of endsOf(stated)) {
          const out = command === 'imp' ? '--save_dir' : '--out';
          // The copies of images can be no smaller than these.
          const beside = flag.startsWith('--cached')
            ? [flag.replace('cached', 'image') + '=1']
            : [];
          const given = [...beside, `${flag}=${plain(inside)}`];
          const argv = [command, ...(commands[command] ?? []), ...given];
          const { stderr } = await runCli([...argv, out, join(tmpdir(), 'none', 'none')]);
          expect(stderr, argv.join(' ')).not.toMatch(
            /expected an? (?:number|integer) (?:from|above|below|of at)/,
          );
        }
      }
    });
  },
);
