import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { bar } from './bars.js';
import {
  bytes,
  clock,
  count,
  digits,
  grouped,
  lossFigure,
  milliseconds,
  percent,
} from '../../format.js';
import { guardedIo } from './guarded-io.js';
import { wantsColour } from './io.js';
import { Progress, renderProgress } from './progress.js';
import { renderFacts, renderTable } from './table.js';
import { visible, wrapMessage, wrapText } from './text.js';

const plain = pc.createColors(false);

describe('numbers', () => {
  it.each([
    [0, '0'],
    [950, '950'],
    [12_345, '12.3 K'],
    [999_950, '1.00 M'],
    [1_672_330, '1.67 M'],
    [2_540_000_000, '2.54 G'],
  ])('%d is %s', (value, text) => {
    expect(count(value)).toBe(text);
  });

  it('have units', () => {
    expect(bytes(512)).toBe('512 B');
    expect(bytes(1_040_064)).toBe('1,016 KiB');
    expect(milliseconds(0.8421)).toBe('0.842 ms');
    expect(milliseconds(12_345)).toBe('12.3 s');
    expect(percent(0.8712)).toBe('87.12%');
    expect(percent(null)).toBe('-');
    expect(clock(3753)).toBe('1:02:33');
    expect(clock(NaN)).toBe('-:--');
    expect(digits(NaN)).toBe('-');
    expect([digits(0), digits(0.99995), digits(1234.5)]).toEqual(['0', '1.00', '1,235']);
    expect(grouped(1_234_567.4)).toBe('1,234,567');
  });

  it('have an exponent where they are too large to be read', () => {
    const huge = 11_148_642_726_933_850;
    expect([digits(huge), digits(huge, 4), digits(-huge)]).toEqual([
      '1.11e16',
      '1.115e16',
      '-1.11e16',
    ]);
    expect([digits(123_456_789), digits(999_999_999)]).toEqual(['123,456,789', '1.00e9']);
    const losses = [0.12345, 1234.56, 12_345.6, 1_234_567, huge];
    expect(losses.map(lossFigure)).toEqual([
      '0.1235',
      '1234.5600',
      '12,346',
      '1.235e6',
      '1.115e16',
    ]);
    expect(lossFigure(NaN)).toBe('NaN');
  });
});

describe('the message of an error', () => {
  it('is broken at blanks and nowhere else, what follows indented', () => {
    expect(wrapMessage('short: as it is.', 40)).toBe('short: as it is.');
    const path = '/a/long/path/that/has/more/than/forty/columns.safetensors';
    expect(
      wrapMessage(`eval: ${path} does not exist, expected a file of weights or a run.`, 40),
    ).toBe(`eval:\n  ${path}\n  does not exist, expected a file of\n  weights or a run.`);
    expect(wrapMessage('one\n  two', 40)).toBe('one\n  two');
    const coloured = pc.createColors(true).red('eval:');
    expect(visible(wrapMessage(`${coloured} ${'word '.repeat(20)}`, 40).split('\n')[0] ?? '')).toBe(
      40,
    );
  });

  it.each([
    'mamba-prune export FILE --arch NAME --out dense.safetensors',
    'npm install @mamba-prune/report',
    'ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node',
    '"a name of five words in quotes"',
  ])('keeps %s in one piece, to be copied', (command) => {
    for (const end of ['.', ', or give another one.', ' (in a clone: npm run build).', '']) {
      const text = wrapMessage(`words before it, so that it is at an end: ${command}${end}`, 48);
      expect(text).toContain(command);
      expect(text.replaceAll(/\n {2}/g, ' ')).toBe(
        `words before it, so that it is at an end: ${command}${end}`,
      );
    }
  });
});

describe('a bar', () => {
  it('is drawn in eighths of a character', () => {
    expect(bar(0.5, 4, plain)).toBe('██··');
    expect(bar(9 / 32, 4, plain)).toBe('█▏··');
    expect(bar(1, 4, plain)).toBe('████');
  });

  it('shows anything over nothing', () => {
    expect(bar(1e-6, 4, plain)).toBe('▏···');
    expect(bar(0, 4, plain)).toBe('····');
  });
});

describe('a table', () => {
  const columns = [
    { title: 'name', flexible: true },
    { title: 'n', align: 'right' },
  ] as const;

  it('aligns its columns under one rule', () => {
    const table = renderTable(
      columns,
      [
        ['a', '5'],
        ['bcd', '123'],
      ],
      plain,
      80,
    );
    expect(table.split('\n')).toEqual(['  name    n', '  ─────────', '  a       5', '  bcd   123']);
  });

  it('shortens the flexible column where it does not fit', () => {
    const table = renderTable(columns, [['x'.repeat(99), '5']], plain, 30);
    expect(Math.max(...table.split('\n').map((line) => line.length))).toBe(30);
    expect(table).toContain('…');
  });

  it('gives names lines of their own where they would be cut too short', () => {
    const rows = [
      ['a name of some length', '5'],
      ['a name of some length', '6'],
      ['x', '7'],
    ];
    expect(renderTable(columns, rows, plain, 20).split('\n')).toEqual([
      '  name',
      '  n',
      '  ──────────────────',
      '  …me of some length',
      '  5',
      '  6',
      '  x',
      '  7',
    ]);
  });

  it('gives names lines of their own where they would be cut to the same', () => {
    const same = 'y'.repeat(20);
    const table = renderTable(
      columns,
      [
        [`one ${same}`, '1'],
        [`two ${same}`, '2'],
      ],
      plain,
      27,
    );
    expect(table).toContain(`one ${same}\n`);
    expect(table).toContain(`two ${same}\n`);
  });

  it('draws its bars in the room that is left, and leaves them out where there is none', () => {
    const barred = [{ title: 'name' }, { title: '' }, { title: 'n', align: 'right' }] as const;
    const rows = [['abc', { share: 0.5 }, '5']];
    const drawn = (width: number): string =>
      renderTable(barred, rows, plain, width).split('\n')[2] ?? '';
    expect(drawn(80)).toBe(`  abc   ${'█'.repeat(16)}${'·'.repeat(16)}  5`);
    expect(drawn(21)).toBe('  abc   █████·····  5');
    expect(drawn(19)).toBe('  abc   ████····  5');
    expect(drawn(18)).toBe('  abc   5');
  });

  it('counts columns as a terminal does', () => {
    const rows = [
      ['蜘蛛', '1'],
      ['ab', '2'],
    ];
    expect(renderTable(columns, rows, plain, 80).split('\n').slice(2)).toEqual([
      '  蜘蛛  1',
      '  ab    2',
    ]);
  });
});

describe('facts', () => {
  it('continue below their beginning, with paths whole', () => {
    const facts = [
      ['a', 'one two three'],
      ['model', '/a/long/path/to/copy'],
    ] as const;
    expect(renderFacts(facts, plain, 18).split('\n')).toEqual([
      '  a      one two',
      '         three',
      '  model  /a/long/path/to/copy',
    ]);
  });
});

describe('wrapped text', () => {
  it('breaks at blanks and keeps long words whole', () => {
    expect(wrapText('one two three\nfour', 9)).toBe('  one two\n  three\n  four');
    expect(wrapText('a abcdefghijkl b', 9)).toBe('  a\n  abcdefghijkl\n  b');
  });

  it('keeps a name and its value on one line', () => {
    expect(wrapText('t = 0.26, p = 0.836: no', 16)).toBe('  t = 0.26,\n  p = 0.836: no');
    expect(wrapText('a name\u00a0of files', 30)).toBe('  a name\u00a0of files');
  });
});

describe('progress', () => {
  const state = {
    label: 'train 3/20',
    done: 250,
    total: 1000,
    from: 0,
    seconds: 10,
    unit: 'img',
    rate: 1234.5,
    extra: 'loss 0.512',
  };

  it('has share, rate, time left and what is extra', () => {
    expect(renderProgress(state, 80, plain)).toBe(
      '  train 3/20  ━━━━━━─────────────────   25%  1,235 img/s  0:30 left  loss 0.512',
    );
  });

  it('leaves out what does not fit', () => {
    for (let width = 30; width < 100; width++) {
      expect(renderProgress(state, width, plain).length).toBeLessThan(width);
    }
  });

  it('counts the time left from where resumed work began', () => {
    const resumed = { ...state, from: 200, rate: undefined, extra: undefined };
    // 50 of 1000 in 10 s, 750 to go.
    expect(renderProgress(resumed, 80, plain)).toContain('2:30 left');
  });
});

describe('the progress bar', () => {
  const drawn = (stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): string => {
    const written: string[] = [];
    const stderr = { ...stream, columns: 80, write: (text: string) => written.push(text) };
    const progress = new Progress({ stdout: stderr, stderr, env });
    progress.begin('train', 1000, 'img');
    progress.update(250, { label: 'train 100/200', rate: 12_345, extra: 'loss 0.5120' });
    // Redraws what was updated.
    progress.line('a line');
    progress.end();
    return written.join('');
  };

  it('shows all that fits, whatever its colours', () => {
    expect(drawn({ isTTY: true }, {})).toMatch(/25% {2}12,345 img\/s {2}\S+ left {2}loss 0\.5120/);
  });

  it.each([{}, { FORCE_COLOR: '1' }])('is not drawn where stderr is no terminal (%j)', (env) => {
    expect(drawn({}, env)).toBe('a line\n');
    expect(drawn({ isTTY: true }, { ...env, TERM: 'dumb' })).toBe('a line\n');
  });

  /** What a log gets, by a clock that the test moves. */
  function logged(work: (progress: Progress, pass: (seconds: number) => void) => void): string[] {
    const written: string[] = [];
    let time = 0;
    const stderr = { write: (text: string) => written.push(text) };
    const progress = new Progress({ stdout: stderr, stderr, env: {}, now: () => 1000 * time });
    work(progress, (seconds) => {
      time += seconds;
    });
    return written.join('').split('\n').slice(0, -1);
  }

  it('is a line every half minute where stderr is a file, however often there is news', () => {
    const lines = logged((progress, pass) => {
      progress.begin('train', 10_000, 'img');
      for (let step = 1; step <= 1000; step++) {
        pass(0.1);
        progress.update(step, { label: 'train 1/10', rate: 12_345, extra: 'loss 0.5120' });
      }
    });
    // 100 seconds; the time left is that of the steps so far.
    expect(lines).toEqual([
      '  train 1/10    3%  12,345 img/s  16:10 left  loss 0.5120',
      '  train 1/10    6%  12,345 img/s  15:40 left  loss 0.5120',
      '  train 1/10    9%  12,345 img/s  15:10 left  loss 0.5120',
    ]);
  });

  it('says nothing soon after another line, and nothing of short work', () => {
    const lines = logged((progress, pass) => {
      progress.begin('eval', 3, 'batches');
      pass(29);
      progress.update(1);
      progress.line('an epoch');
      pass(29);
      progress.update(2);
      pass(0.5);
      progress.update(3);
      progress.end();
    });
    expect(lines).toEqual(['an epoch']);
  });

  it('counts the time over work that is short, one after the other', () => {
    const lines = logged((progress, pass) => {
      for (const shard of ['one', 'two', 'three', 'four']) {
        progress.begin(shard, 8, 'MB');
        pass(12);
        progress.update(8);
        progress.end();
      }
    });
    expect(lines).toEqual(['  three  100%  0.667 MB/s  0:00 left']);
  });

  it('tells the end of what a log has seen the middle of, once', () => {
    const lines = logged((progress, pass) => {
      progress.begin('bench', 30, 'rounds');
      pass(40);
      progress.update(20);
      pass(5);
      progress.update(30);
      progress.end();
      progress.begin('bench', 2, 'rounds');
      pass(40);
      progress.update(2);
      progress.end();
      progress.begin('stopped', 2, 'rounds');
      pass(40);
      progress.update(1);
      progress.end();
    });
    expect(lines).toEqual([
      '  bench   66%  0.500 rounds/s  0:20 left',
      '  bench  100%  0.667 rounds/s  0:00 left',
      '  bench  100%  0.0500 rounds/s  0:00 left',
      '  stopped   50%  0.0250 rounds/s  0:40 left',
    ]);
  });

  it('has no colours under NO_COLOR', () => {
    const text = drawn({ isTTY: true }, { NO_COLOR: '1' });
    expect(text).toContain('loss 0.5120');
    // eslint-disable-next-line no-control-regex
    expect(text).not.toMatch(/\u001b\[[\d;]*m/);
  });
});

describe('what guards the output', () => {
  it('keeps everything else that a command knows of its surroundings', () => {
    const stream = { write: () => true };
    const io = { stdout: stream, stderr: stream, env: {}, isWholeProcess: true, now: () => 7 };
    const { isWholeProcess, now } = guardedIo(io);
    expect([isWholeProcess, now?.()]).toEqual([true, 7]);
  });
});

describe('colours', () => {
  it('follow NO_COLOR, FORCE_COLOR and the terminal', () => {
    const terminal = { write: () => true, isTTY: true };
    const file = { write: () => true };
    expect(wantsColour(terminal, {})).toBe(true);
    expect(wantsColour(terminal, { NO_COLOR: '1', FORCE_COLOR: '1' })).toBe(false);
    expect(wantsColour(terminal, { NO_COLOR: '' })).toBe(true);
    expect(wantsColour(terminal, { TERM: 'dumb' })).toBe(false);
    expect(wantsColour(file, {})).toBe(false);
    expect(wantsColour(file, { FORCE_COLOR: '1' })).toBe(true);
    expect(wantsColour(terminal, { FORCE_COLOR: '0' })).toBe(false);
    expect(wantsColour(terminal, { FORCE_COLOR: 'false' })).toBe(false);
  });
});
