// The campaign of the table of accuracies: its flags, its scheduler and its jobs. Nothing is trained here.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
// @ts-expect-error A script without types.
import { cellJob, cellJobs, denseJob } from '../benchmarks/campaign/accuracy-table.mjs';
// @ts-expect-error A script without types.
import { runJobs as runUntypedJobs } from '../benchmarks/campaign/scheduler.mjs';

interface Job {
  name: string;
  command: string[];
  after?: string[];
  gpu?: number;
  slots?: number;
  seconds?: number;
  limit?: number;
  environment?: Record<string, string>;
  done?: () => void;
}
interface State {
  status: 'waiting' | 'running' | 'done' | 'failed';
  gpu?: number;
  code?: number | string;
  error?: string;
}
interface Options {
  gpus: number[];
  slots: number;
  out: string;
  deadline: number;
}
const runJobs = runUntypedJobs as (jobs: Job[], options: Options) => Promise<Record<string, State>>;
const makeDense = denseJob as (set: string, options: object) => Job;
const makeCell = cellJob as (set: string, options: object) => Job;
const makeCells = cellJobs as (set: string, options: object) => Job[];

const folder = mkdtempSync(join(tmpdir(), 'campaign-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let count = 0;
const options = (rest: Partial<Options> = {}): Options => ({
  gpus: [0],
  slots: 2,
  out: join(folder, String(count++)),
  deadline: Date.now() + 600_000,
  ...rest,
});
const node = (code: string) => [process.execPath, '-e', code];
/** Waits until all of the files are there, and so proves that those who write them run at the same time. */
const meet = (own: string, ...files: string[]) =>
  node(`
    const fs = require('node:fs');
    fs.writeFileSync(${JSON.stringify(own)}, '');
    setInterval(() => { if (${JSON.stringify(files)}.every((file) => fs.existsSync(file))) process.exit(); }, 5);
  `);

describe('the flags of the campaign', () => {
  it.each([
    ['--sets', 'cifar10,mnist', "--sets: got 'mnist', expected some of cifar10, cifar100"],
    [
      '--methods',
      'refil',
      "--methods: got 'refil', expected some of oneshot, refill, rsst, scratch",
    ],
    ['--rates', '50,', "--rates: got '50,', expected whole numbers from 1 to 99"],
    ['--data', '/nowhere', '--data: /nowhere does not exist, expected the folder of the data sets'],
    ['--seeds', '1,x', "--seeds: got 'x', expected whole numbers from 0"],
    ['--slots', '0', "--slots: got '0', expected a whole number from 1"],
    ['--dense', 'mnist=a', "--dense: got 'mnist=a', expected SET=RUN"],
    ['--dense', `cifar10=${folder}/none`, `--dense: ${folder}/none has no model.safetensors`],
  ])('%s %s is refused before anything is trained', (flag, value, words) => {
    const out = join(folder, 'refused');
    const { status, stderr } = spawnSync(
      process.execPath,
      ['benchmarks/campaign.mjs', '--data', folder, '--out', out, flag, value],
      { encoding: 'utf8' },
    );
    expect(stderr).toContain(`campaign: ${words}`);
    expect(status).toBe(2);
    expect(existsSync(out)).toBe(false);
  });
});

describe('a campaign whose jobs fail', () => {
  it('names their logs, and ends with status 1', () => {
    const out = join(folder, 'failed');
    const few = ['--sets', 'cifar10', '--rates', '50', '--methods', 'oneshot', '--seeds', '1'];
    const { status, stdout } = spawnSync(
      process.execPath,
      // The folder has no images.
      ['benchmarks/campaign.mjs', '--data', folder, '--out', out, ...few],
      { encoding: 'utf8' },
    );
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      'cifar10/dense: failed (1), see logs/cifar10-dense.txt',
      'cifar10/50/oneshot-seed-1: waiting',
    ]);
    expect(readFileSync(join(out, 'logs/cifar10-dense.txt'), 'utf8')).toContain(
      'found no CIFAR-10',
    );
    expect(status).toBe(1);
  }, 60_000);
});

describe('the scheduler of the campaign', () => {
  it('runs as many jobs side by side as there are slots, on their GPU', async () => {
    const [a, b, c, d] = 'abcd'.split('').map((name) => join(folder, name));
    if (!a || !b || !c || !d) throw new Error('no names');
    const jobs: Job[] = [
      { name: 'a', command: meet(a, b, c, d) },
      { name: 'b', command: meet(b, a, c, d) },
      { name: 'c', command: meet(c, a, b, d), gpu: 1 },
      { name: 'd', command: meet(d, a, b, c), environment: { OTHER: 'x' } },
    ];
    const states = await runJobs(jobs, options({ gpus: [0, 1] }));
    expect(states).toMatchObject({
      a: { status: 'done', gpu: 0 },
      b: { status: 'done', gpu: 0 },
      c: { status: 'done', gpu: 1 },
      d: { status: 'done', gpu: 1 },
    });
  });

  it('lets a job that takes all slots run alone, and keeps later jobs from passing it', async () => {
    const log = join(folder, 'order');
    const note = (name: string) =>
      node(`
        const { appendFileSync } = require('node:fs');
        appendFileSync(${JSON.stringify(log)}, '<${name}');
        setTimeout(() => appendFileSync(${JSON.stringify(log)}, '${name}>'), 100);
      `);
    const jobs = [
      { name: 'first', command: note('1') },
      { name: 'alone', command: note('2'), slots: 5 },
      { name: 'last', command: note('3') },
    ];
    await runJobs(jobs, options());
    expect(readFileSync(log, 'utf8')).toBe('<11><22><33>');
  });

  it('begins no job whose needs failed, and goes on with the others', async () => {
    const given = options();
    const jobs = [
      { name: 'set/bad', command: node('console.log("why"); process.exit(3)') },
      { name: 'needs it', command: node(''), after: ['set/bad'] },
      { name: 'other', command: node('') },
      { name: 'missing', command: [join(folder, 'no such program')] },
      {
        name: 'unreadable',
        command: node(''),
        done: () => {
          throw new Error('no results');
        },
      },
    ];
    const states = await runJobs(jobs, given);
    expect(states).toMatchObject({
      'set/bad': { status: 'failed', code: 3 },
      'needs it': { status: 'waiting' },
      other: { status: 'done' },
      missing: { status: 'failed' },
      unreadable: { status: 'failed', error: 'Error: no results' },
    });
    expect(readFileSync(join(given.out, 'logs', 'set-bad.txt'), 'utf8')).toBe('why\n');
    const saved = JSON.parse(readFileSync(join(given.out, 'state.json'), 'utf8')) as {
      jobs: object;
    };
    expect(saved.jobs).toEqual(states);
  });

  it('asks jobs to stop at their limit and at the deadline, and begins none that would not end', async () => {
    const forever = node('setInterval(() => {}, 1000)');
    const jobs = [
      { name: 'limited', command: forever, limit: 0.05, seconds: 0 },
      { name: 'late', command: forever, seconds: 0 },
      { name: 'too long', command: node(''), seconds: 60 },
    ];
    const states = await runJobs(jobs, options({ deadline: Date.now() + 3000 }));
    expect(states).toMatchObject({
      limited: { status: 'failed', code: 'SIGINT' },
      late: { status: 'failed', code: 'SIGINT' },
      'too long': { status: 'waiting' },
    });
  });

  it('refuses jobs of one name, and needs that are nowhere', () => {
    const job = { name: 'a', command: node('') };
    expect(() => runJobs([job, job], options())).toThrow('same name');
    expect(() => runJobs([{ ...job, after: ['b'] }], options())).toThrow('a waits for b');
  });
});

describe('the jobs of the accuracy table', () => {
  const out = join(folder, 'table');
  const folders = { data: join(folder, 'data'), out };
  const sizesBefore = '{"parameters":{"before":100},"macs":{"before":200}}';

  it('go seed by seed, each with the learning rate of its method', () => {
    const jobs = makeCells('cifar100', {
      ...folders,
      rates: [50, 90],
      methods: ['refill', 'rsst'],
      seeds: [1, 2],
    });
    expect(jobs.map(({ name }) => name)).toEqual([
      'cifar100/50/refill-seed-1',
      'cifar100/50/rsst-seed-1',
      'cifar100/90/refill-seed-1',
      'cifar100/90/rsst-seed-1',
      'cifar100/50/refill-seed-2',
      'cifar100/50/rsst-seed-2',
      'cifar100/90/refill-seed-2',
      'cifar100/90/rsst-seed-2',
    ]);
    const rateOf = ({ command }: Job) => command[command.indexOf('--finetune-lr') + 1];
    expect(jobs.slice(0, 2).map(rateOf)).toEqual(['0.008', '0.004']);
    expect(jobs.every(({ after }) => after?.[0] === 'cifar100/dense')).toBe(true);
  });

  it.each(['oneshot', 'refill', 'rsst', 'scratch'])(
    'of %s have flags that compare takes',
    (method) => {
      const dense = join(folder, 'dense-run');
      mkdirSync(dense, { recursive: true });
      writeFileSync(join(dense, 'config.json'), '{"kind":"mamba-prune run"}');
      writeFileSync(join(dense, 'model.safetensors'), '');
      const cell = makeCell('cifar10', { ...folders, dense, method, percent: 80, seed: 1 });
      const [program = '', ...args] = cell.command;
      const { status, stderr } = spawnSync(program, [...args, '--device', 'cpu'], {
        encoding: 'utf8',
      });
      // It comes as far as to the images, which are not there.
      expect(stderr).toContain('openDataset "cifar10": found no CIFAR-10');
      expect(status).toBe(1);
    },
    20_000,
  );

  it('let Refill give back less where a tenth would be all that stays', () => {
    const fillbackAt = (percent: number): string | undefined => {
      const { command } = makeCell('cifar10', { ...folders, method: 'refill', percent, seed: 1 });
      return command[command.indexOf('--fillback') + 1];
    };
    expect([50, 70, 80, 90, 95].map(fillbackAt)).toEqual(['0.1', '0.1', '0.1', '0.052', '0.025']);
    const rsst = makeCell('cifar10', { ...folders, method: 'rsst', percent: 90, seed: 1 });
    expect(rsst.command).not.toContain('--fillback');
  });

  it('name folders to bash whatever is in their names', () => {
    const { command } = makeDense('cifar10', { data: "/some data/it's", out: join(out, 'a b') });
    expect(command.slice(0, 2)).toEqual(['bash', '-c']);
    expect(command[2]).toContain(`'--data' '/some data/it'\\''s'`);
    expect(command[2]).toContain(`>'${join(out, 'a b/results/cifar10/dense.json')}'`);
  });

  it('keep a log and a summary of each cell', () => {
    const dense = makeDense('cifar10', folders);
    const run = join(out, 'runs/cifar10/dense');
    mkdirSync(run, { recursive: true });
    writeFileSync(join(run, 'metrics.jsonl'), '{"epoch":1}\n');
    writeFileSync(join(out, 'results/cifar10/dense.json'), '{"accuracy":0.94}');
    dense.done?.();
    expect(existsSync(join(out, 'results/cifar10/dense.jsonl'))).toBe(true);

    const cell = makeCell('cifar10', { ...folders, method: 'rsst', percent: 95, seed: 2 });
    const pruned = join(out, 'runs/cifar10/rsst-95-2/seed-2/rsst-95');
    mkdirSync(pruned, { recursive: true });
    writeFileSync(join(pruned, 'metrics.jsonl'), '{"epoch":40}\n');
    writeFileSync(join(pruned, 'pruning.json'), sizesBefore);
    const size = { parameters: 6, macs: 11 };
    const result = { method: 'rsst', run: 'seed-2/rsst-95', accuracy: 0.88, ...size };
    writeFileSync(
      join(pruned, '../../results.json'),
      JSON.stringify({ runs: [{ ...result, beforeCut: 0.8, afterCut: 0.79 }] }),
    );
    cell.done?.();
    const file = join(out, 'results/cifar10/95/rsst-seed-2');
    expect(readFileSync(`${file}.jsonl`, 'utf8')).toBe('{"epoch":40}\n');
    expect(JSON.parse(readFileSync(`${file}.summary.json`, 'utf8'))).toEqual({
      ...{ set: 'cifar10', rate: 0.95, method: 'rsst', seed: 2 },
      ...{ denseAccuracy: 0.94, beforeCut: 0.8, afterCut: 0.79, accuracy: 0.88 },
      ...{ params: 6, macs: 11, denseParams: 100, denseMacs: 200 },
      ...{ learningRate: 0.002, epochs: 40 },
    });
  });

  it('begin with a model of an earlier campaign where one is given', () => {
    const [earlier, later] = [join(folder, 'earlier'), join(folder, 'later')];
    const given = { data: folders.data, out: later, dense: earlier };
    const { command } = makeDense('cifar10', given);
    expect(command[2]).not.toContain("'train'");
    expect(command[2]).toContain(`'eval' '${earlier}'`);
    const cell = makeCell('cifar10', { ...given, method: 'refill', percent: 70, seed: 1 });
    expect(cell.command[cell.command.indexOf('--dense') + 1]).toBe(earlier);
  });

  it('train a fresh model beside the one-shot cut that has its widths', () => {
    const jobs = makeCells('cifar10', {
      ...folders,
      ...{ rates: [70], methods: ['oneshot', 'refill', 'scratch'], seeds: [3] },
    });
    expect(jobs.map(({ name }) => name)).toEqual([
      'cifar10/70/refill-seed-3',
      'cifar10/70/scratch-seed-3',
    ]);
    const cell = jobs[1];
    expect(cell?.command[cell.command.indexOf('--methods') + 1]).toBe('oneshot,scratch');

    makeDense('cifar10', folders);
    writeFileSync(join(out, 'results/cifar10/dense.json'), '{"accuracy":0.94}');
    const compared = join(out, 'runs/cifar10/scratch-70-3');
    const cut = { accuracy: 0.91, beforeCut: 0.94, afterCut: 0.5, parameters: 30, macs: 60 };
    const fresh = { accuracy: 0.9, beforeCut: null, afterCut: null, parameters: 30, macs: 60 };
    const runs = [
      { method: 'oneshot', run: 'seed-3/oneshot-70', ...cut },
      { method: 'scratch', run: 'seed-3/scratch-70', ...fresh },
    ];
    for (const { run } of runs) {
      mkdirSync(join(compared, run), { recursive: true });
      writeFileSync(join(compared, run, 'metrics.jsonl'), `{"run":"${run}"}\n`);
    }
    writeFileSync(join(compared, 'seed-3/oneshot-70/pruning.json'), sizesBefore);
    writeFileSync(
      join(compared, 'seed-3/scratch-70/config.json'),
      '{"train":{"lr":0.0045,"epochs":285}}',
    );
    writeFileSync(join(compared, 'results.json'), JSON.stringify({ runs }));
    cell?.done?.();
    const summaryOf = (method: string) =>
      JSON.parse(
        readFileSync(join(out, `results/cifar10/70/${method}-seed-3.summary.json`), 'utf8'),
      ) as object;
    expect(summaryOf('oneshot')).toMatchObject({ learningRate: 0.004, epochs: 40, accuracy: 0.91 });
    expect(summaryOf('scratch')).toMatchObject({
      ...{
        learningRate: 0.0045,
        epochs: 285,
        accuracy: 0.9,
        beforeCut: null,
        params: 30,
        denseMacs: 200,
      },
    });
  });
});
