// What `npm run bench` makes of its measurements: limits, shares, rounds within a budget, the table and the sentences. The
// measurements themselves are benchmarks and no tests; here times are given.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ImageModel } from 'mamba-prune';
import { beforeAll, describe, expect, it } from 'vitest';

interface Case {
  readonly name: string;
  readonly group: string;
  readonly title: string;
  readonly what: string;
  readonly batch: number;
  readonly dense?: string;
}
interface Counts {
  readonly macs: number;
  readonly parameters: number;
}
interface Rates {
  readonly flops: number;
  readonly read: Readonly<Record<number, number>>;
}
interface Limit {
  readonly ms: number;
  readonly by: string;
}
type Round = Readonly<Record<string, number | undefined>>;
interface Peer {
  readonly ms: number;
  readonly timesAsFast: {
    readonly median: number;
    readonly lowest: number;
    readonly highest: number;
  };
}
interface Row {
  readonly oursMs?: number;
  readonly torch?: Peer;
  readonly onnx?: Peer;
  readonly limit?: Limit;
  readonly share?: number;
}
interface Budget {
  readonly ms: number;
  readonly rounds: number;
  readonly now: () => number;
}
/** The exports of the modules of benchmarks/bench, which are JavaScript. */
interface Bench {
  flopOf(one: Case, macs: number): number;
  limitOf(one: Case, counts: Counts, rates: Rates): Limit;
  highestRates(measured: readonly Rates[]): Rates;
  measureInRounds<T>(
    jobs: readonly T[],
    measure: (job: T, round: number) => void,
    budget: Budget,
  ): void;
  inTurn<T>(sides: readonly T[], round: number): T[];
  median(list: readonly number[]): number;
  rowOf(one: Case, rounds: readonly Round[], counts: Counts, rates?: Rates): Row;
  inMs(ms?: number): string;
  tableOf(rows: readonly Row[], terminal?: { readonly columns?: number }): string;
  verdictsOf(rows: readonly Row[]): string[];
  reason(error: { code?: string; stderr?: string; message: string }, script?: string): string;
  measured(
    who: string,
    command: string,
    argv: readonly string[],
    given?: { readonly threads?: string; readonly timeoutMs?: number },
  ): unknown;
  roundsOfTwo(
    count: number,
    ours: () => number,
    torch: () => number,
  ): readonly { readonly ours: number; readonly torch: number }[];
  sidesOf(settings: { threads: string; python: string; folder: string; quick: boolean }): {
    readonly sides: readonly { readonly name: string }[];
    readonly notes: readonly string[];
  };
  wantedCases(only?: string): readonly Case[];
  narrowModel(arch: string, options: { rate: number }): ImageModel;
}

const benchmarks = new URL('../benchmarks/', import.meta.url);
let bench: Bench;
beforeAll(async () => {
  const names = ['cases', 'limits', 'rounds', 'sides', 'summary', 'table'].map(
    (name) => `bench/${name}`,
  );
  const modules: object[] = [];
  for (const name of [...names, 'narrow-model', 'median', 'processes']) {
    modules.push((await import(new URL(`${name}.mjs`, benchmarks).href)) as object);
  }
  bench = Object.assign({}, ...modules) as Bench;
});

const caseOf = (name: string): Case => {
  const found = bench.wantedCases().find((one) => one.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  return found;
};

// 2 GFLOP an image, 4 MB of weights; a machine of 100 GFLOP/s that reads 1 GB/s of them.
const counts = { macs: 1e9, parameters: 1e6 };
const rates = { flops: 1e11, read: { 4e6: 1e9 } };

describe('limits', () => {
  it('count two operations for a MAC, and three passes in training', () => {
    expect(bench.flopOf(caseOf('infer-32'), 1e9)).toBe(64e9);
    expect(bench.flopOf(caseOf('train'), 1e9)).toBe(192e9);
  });

  it('are the time of the arithmetic, or at batch 1 of reading the weights if that is longer', () => {
    expect(bench.limitOf(caseOf('infer-1'), counts, rates)).toEqual({ ms: 20, by: 'products' });
    const slow = { flops: 1e11, read: { 4e6: 1e8 } };
    expect(bench.limitOf(caseOf('infer-1'), counts, slow)).toEqual({ ms: 40, by: 'weights' });
    expect(bench.limitOf(caseOf('infer-32'), counts, slow)).toEqual({ ms: 640, by: 'products' });
  });

  it('are those of the best round', () => {
    const busy = { flops: 5e10, read: { 4e6: 2e9, 8e6: 1e9 } };
    expect(bench.highestRates([rates, busy])).toEqual({
      flops: 1e11,
      read: { 4e6: 2e9, 8e6: 1e9 },
    });
  });
});

describe('rounds', () => {
  /** Every job takes its own time on a clock that nothing else moves. */
  function run(took: Readonly<Record<string, number>>, ms: number, rounds = 99): string[] {
    let clock = 0;
    const done: string[] = [];
    bench.measureInRounds(
      Object.keys(took),
      (job, round) => {
        clock += took[job] ?? 0;
        done.push(`${job}${round}`);
      },
      { ms, rounds, now: () => clock },
    );
    return done;
  }

  it('begin nothing that would end after the budget, and stop with that round', () => {
    // 13 of 20 are over after one round: 5 fit in again, 8 do not.
    expect(run({ a: 5, b: 8 }, 20)).toEqual(['a0', 'b0', 'a1']);
    // a does not fit in, b does; neither comes again.
    expect(run({ a: 8, b: 2 }, 16)).toEqual(['a0', 'b0', 'b1']);
  });

  it('are as many as were asked for', () => {
    expect(run({ a: 1 }, 1000, 2)).toEqual(['a0', 'a1']);
  });

  it('begin nothing in the first once the time is over', () => {
    expect(run({ a: 30, b: 1 }, 20)).toEqual(['a0']);
  });

  it('of two sides begin with the other one every other time', () => {
    const order: string[] = [];
    const side = (name: string, ms: number) => () => {
      order.push(name);
      return ms;
    };
    const both = bench.roundsOfTwo(2, side('ours', 1), side('torch', 3));
    expect(order).toEqual(['ours', 'torch', 'torch', 'ours']);
    expect(both).toEqual(Array(2).fill({ ours: 1, torch: 3 }));
  });

  it('reverse the order every other time', () => {
    const sides = ['ours', 'torch'];
    expect([0, 1, 2].map((round) => bench.inTurn(sides, round)[0])).toEqual([
      'ours',
      'torch',
      'ours',
    ]);
    expect(sides).toEqual(['ours', 'torch']);
  });
});

describe('a row', () => {
  it('has medians, the ratios of the rounds, and the share of the limit', () => {
    // A machine that was twice as slow in the second round: the ratio hardly knows.
    const rounds = [
      { ours: 40, torch: 160 },
      { ours: 80, torch: 336 },
      { ours: 40, torch: 120 },
    ];
    const row = bench.rowOf(caseOf('infer-1'), rounds, counts, rates);
    expect(row.oursMs).toBe(40);
    expect(row.torch).toEqual({ ms: 160, timesAsFast: { median: 4, lowest: 3, highest: 4.2 } });
    expect(row.onnx).toBeUndefined();
    expect(row.share).toBe(0.5);
    expect(bench.median([4, 1, 3, 2])).toBe(2.5);
  });

  it('does without what was not measured', () => {
    const row = bench.rowOf(caseOf('infer-1'), [{ torch: 5 }], counts, undefined);
    expect([row.oursMs, row.torch, row.limit, row.share]).toEqual(Array(4).fill(undefined));
  });
});

describe('what is printed', () => {
  const rounds = {
    train: [{ ours: 1200, torch: 6000 }],
    'pruned-train': [{ ours: 480 }],
    vim: [
      { ours: 40, torch: 400, onnx: 20 },
      { ours: 40, torch: 480, onnx: 40 },
    ],
  };
  const rows = (...names: (keyof typeof rounds)[]): Row[] =>
    names.map((name) => bench.rowOf(caseOf(name), rounds[name], counts, rates));

  it('is a table whose cells stay empty where nothing was measured', () => {
    expect(bench.tableOf(rows('train', 'pruned-train'), {}).split('\n')).toEqual([
      '| what                                              |     ours | plain PyTorch | times as fast (low to high) | limit of this machine | share of the limit |',
      '| ------------------------------------------------- | -------: | ------------: | --------------------------: | --------------------: | -----------------: |',
      '| mamba_small: training step, batch 32              | 1,200 ms |      6,000 ms |                        5.0x |    1,920 ms, products |               160% |',
      '| mamba_small, 70% removed: training step, batch 32 |   480 ms |               |                             |    1,920 ms, products |               400% |',
    ]);
  });

  it('has the columns of onnxruntime where a row has it', () => {
    expect(bench.tableOf(rows('vim'), {}).split('\n')[2]).toBe(
      '| vim_tiny, 224 px: inference, batch 1 | 40.0 ms |        440 ms |        11.0x (10.0 to 12.0) |     30.0 ms |   0.8x (0.5 to 1.0) |     20.0 ms, products |                50% |',
    );
  });

  it('is a block of lines for each row in a terminal that is too narrow for the table', () => {
    const narrow = bench.tableOf(rows('pruned-train', 'vim'), { columns: 80 });
    expect(narrow.split('\n')).toEqual([
      'mamba_small, 70% removed: training step, batch 32',
      '  ours                         480 ms',
      '  limit of this machine        1,920 ms, products',
      '  share of the limit           400%',
      '',
      'vim_tiny, 224 px: inference, batch 1',
      '  ours                         40.0 ms',
      '  plain PyTorch                440 ms',
      '  times as fast (low to high)  11.0x (10.0 to 12.0)',
      '  onnxruntime                  30.0 ms',
      '  times as fast as it          0.8x (0.5 to 1.0)',
      '  limit of this machine        20.0 ms, products',
      '  share of the limit           50%',
    ]);
    const wide = bench.tableOf(rows('pruned-train'), { columns: 200 });
    expect(wide).toBe(bench.tableOf(rows('pruned-train'), {}));
  });

  it('says of every group what is known', () => {
    expect(bench.verdictsOf(rows('train', 'pruned-train'))).toEqual([
      '**mamba_small**: ours is 5.0 times as fast as plain PyTorch, and at 160% of what this machine allows.',
      '**mamba_small, 70% removed**: ours is 2.5 times as fast as the whole model, and at 400% of what this machine allows.',
    ]);
    const both = [...rows('train'), bench.rowOf(caseOf('infer-1'), [{ ours: 40, torch: 800 }], counts, rates)]; // prettier-ignore
    expect(bench.verdictsOf(both)).toEqual([
      '**mamba_small**: ours is 5.0 (training step, batch 32) to 20.0 (inference, batch 1) times as fast as plain PyTorch, and at 50% (inference, batch 1) to 160% (training step, batch 32) of what this machine allows.',
    ]);
    const nothing = bench.rowOf(caseOf('vim'), [], counts, undefined);
    expect(bench.verdictsOf([nothing])).toEqual(['**vim_tiny, 224 px**: nothing was measured.']);
  });
});

describe('cases', () => {
  const names = (only?: string): string[] => bench.wantedCases(only).map(({ name }) => name);

  it('are chosen by their names or what these begin with', () => {
    expect(names('vim,infer')).toEqual(['infer-32', 'infer-1', 'vim']);
    expect(names('pruned-train')).toEqual(['pruned-train']);
    expect(names()).toHaveLength(7);
    expect(() => names('infer,pru')).toThrow("--only: got 'pru', expected one of train, infer-32");
  });

  it('that are pruned name the dense case that differs in nothing but the rate', () => {
    const pruned = bench.wantedCases('pruned');
    expect(pruned).toHaveLength(3);
    for (const { dense = '', what, batch } of pruned) {
      expect(caseOf(dense)).toMatchObject({ what, batch, rate: 0 });
    }
  });

  it('without 70% have three tenths of the products between channels', () => {
    const macs = (rate: number, part: string): number | undefined =>
      bench
        .narrowModel('mamba_tiny', { rate })
        .macs()
        .find(({ name }) => name === part)?.macs;
    const [dense = NaN, pruned = NaN] = [0, 0.7].map((rate) => macs(rate, 'blocks.0.mlp'));
    // 115 of 384 neurons.
    expect(pruned / dense).toBe(115 / 384);
  });
});

describe('who is measured', () => {
  it('is not plain PyTorch where there is no Python, which is said', () => {
    const settings = { threads: '1', folder: 'unused', quick: true };
    const { sides, notes } = bench.sidesOf({ ...settings, python: '/no/python' });
    expect(sides.map(({ name }) => name)).toEqual(['ours', 'onnx']);
    expect(notes).toEqual([
      '/no/python: no Python there, or none with torch. The columns of plain PyTorch stay empty. Debian: apt-get install python3-torch; or give --python PATH.',
    ]);
  });

  it('and failed is said with its error', () => {
    const message = 'Command failed';
    const node = 'file:///a.mjs:3\n\nTypeError: no model\n    at a.mjs:3\n\nNode.js v20.15.0\n';
    expect(bench.reason({ stderr: node, message })).toBe('failed: TypeError: no model');
    const python = 'Traceback\n  File "a.py"\nModuleNotFoundError: No module named numpy\n';
    expect(bench.reason({ stderr: python, message })).toBe(
      'failed: ModuleNotFoundError: No module named numpy',
    );
    expect(bench.reason({ stderr: 'torch_vim: no\n', message })).toBe('failed: torch_vim: no');
    const ours = 'warning\nmeasure: a: got b.\n  given: c\n';
    expect(bench.reason({ stderr: ours, message }, '/x/measure.mjs')).toBe('failed: a: got b');
    expect(bench.reason({ stderr: '', message })).toBe('failed: Command failed');
    expect(bench.reason({ code: 'ETIMEDOUT', message })).toBe('was ended, since the time was over');
  });
});

describe('a measurement', () => {
  const node = (code: string, given = {}) =>
    bench.measured('ours', process.execPath, ['-e', code], given);

  it('is the last line that its process prints, with as many threads as it is given', () => {
    const code =
      "console.log('hello'); console.log(JSON.stringify([process.env.OMP_NUM_THREADS, process.env.OPENBLAS_NUM_THREADS]))";
    expect(node(code, { threads: '3' })).toEqual(['3', '3']);
  });

  it('that fails, or takes longer than there is time, is said by its name', () => {
    expect(() => node("throw new TypeError('no model')")).toThrow(
      'ours failed: TypeError: no model',
    );
    const late = expect.objectContaining({
      message: 'ours was ended, since the time was over',
      code: 'ETIMEDOUT',
    }) as Error;
    expect(() => node('setInterval(() => {}, 1000)', { timeoutMs: 50 })).toThrow(late);
  });
});

describe.each(['compare.mjs', 'vim.mjs'])('%s', (name) => {
  it('says in a sentence that there is no PyTorch', () => {
    const script = fileURLToPath(new URL(name, benchmarks));
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [script, '--python', '/no/python'],
      { encoding: 'utf8' },
    );
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toBe(
      `${name.replace('.mjs', '')}: /no/python: no Python there, or none with torch. ` +
        'Debian: apt-get install python3-torch; or give --python PATH.\n',
    );
  });
});

describe('bench.mjs', () => {
  it.each([
    ['--only', 'vmi', "--only: got 'vmi', expected one of train"],
    ['--threads', '0', "--threads: got '0', expected a whole number from 1."],
    ['--minutes', 'ten', "--minutes: got 'ten', expected a number above 0."],
  ])('says what is wrong with %s %s', (flag, value, words) => {
    const script = fileURLToPath(new URL('bench.mjs', benchmarks));
    const { status, stderr } = spawnSync(process.execPath, [script, flag, value], {
      encoding: 'utf8',
    });
    expect(stderr).toContain(words);
    expect(status).toBe(2);
  });
});
