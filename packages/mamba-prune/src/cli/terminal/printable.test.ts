import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { fakeContext } from '../testing/fake-context.js';
import { guardedIo } from './guarded-io.js';
import { printable, printableColoured, printableLine, printableMessage } from './printable.js';
import { renderProgress } from './progress.js';
import { renderFacts, renderTable } from './table.js';

const nasty = '\u001b[31mred\u001b]0;title\u0007\r\u009b2J\u202e\u0000';
const shown = String.raw`\u001b[31mred\u001b]0;title\u0007\u000d\u009b2J\u202e\u0000`;
const colours = pc.createColors(true);

describe('text that a terminal would obey', () => {
  it('is shown as escapes', () => {
    expect(printable(nasty)).toBe(shown);
    expect(printable('a\n\tgrüße 猫 👍🏽\u200d')).toBe('a\n\tgrüße 猫 👍🏽\u200d');
    expect(printable('half \ud83d pair')).toBe(String.raw`half \ud83d pair`);
    expect(printableLine('one\ntwo\tthree')).toBe(String.raw`one\ntwo\tthree`);
  });

  it('stays valid JSON with the same value', () => {
    const text = JSON.stringify({ nasty });
    expect(JSON.parse(printable(text))).toEqual({ nasty });
  });

  it('is cut where nobody would read on', () => {
    expect(printableMessage('x'.repeat(1e6)).length).toBeLessThan(10_000);
  });

  it('may hold the colours of this program and no others', () => {
    const own = colours.bold(colours.cyan('own'));
    expect(printableColoured(`${own}\u001b[8mhidden`)).toBe(`${own}${String.raw`\u001b[8m`}hidden`);
  });

  it('reaches no table, fact, bar or note, in colours or without', () => {
    const columns = [{ title: 'name', flexible: true }, { title: 'n' }];
    const table = renderTable(columns, [[nasty, nasty]], colours, 200);
    const narrow = renderTable(
      columns,
      [[nasty.repeat(3), { text: nasty, style: 'bold' }]],
      colours,
      40,
    );
    const facts = renderFacts([[nasty, nasty]], colours, 200);
    const state = { done: 1, total: 2, unit: 'img', from: 0, seconds: 1 };
    const bar = renderProgress({ ...state, label: nasty, extra: nasty }, 200, colours);
    const fake = fakeContext({ env: { FORCE_COLOR: '1' }, columns: 200 });
    fake.context.note(nasty);
    fake.context.title(nasty);
    fake.context.pathTitle(nasty);
    fake.context.paragraph(nasty);
    for (const text of [table, narrow, facts, bar, fake.stdout(), fake.stderr()]) {
      // Only what this program means with it.
      expect(printableColoured(text)).toBe(text);
      expect(text).not.toContain('\u001b[31m');
      expect(text.replaceAll(/\s+/g, '')).toContain(String.raw`\u001b`);
    }
  });

  it('is caught at the end, in case it was forgotten', () => {
    const written: string[] = [];
    const stream = { isTTY: true, columns: 80, write: (text: string) => written.push(text) };
    const plain = guardedIo({ stdout: stream, stderr: stream, env: { NO_COLOR: '1' } });
    plain.stdout.write(`${nasty}\n`);
    const coloured = guardedIo({ stdout: stream, stderr: stream, env: {} });
    coloured.stderr.write(colours.bold('own'));
    expect(written).toEqual([`${shown}\n`, colours.bold('own')]);
    expect([plain.stdout.isTTY, plain.stdout.columns]).toEqual([true, 80]);
  });
});
