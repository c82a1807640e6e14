// Training on two machines: network namespaces of this one, each with a folder of its own.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ended, ended } from '../../../../test/support/children.js';
import { support, transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { TwoMachines } from '../../../../test/support/two-machines.mjs';
import { shadesTraining, writeShades } from './testing/shades.js';

const problem = TwoMachines.problem();
const built = transpiledMambaPrune();
const main = join(built.src, 'cli', 'main.js');
let folder = '';
let machines: TwoMachines;

beforeAll(async () => {
  if (problem !== undefined) return;
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-machines-'));
  machines = await TwoMachines.connect();
  await writeShades(join(folder, '0', 'images'), 8, (picture) => 20 * picture);
  cpSync(join(folder, '0'), join(folder, '1'), { recursive: true });
});

afterAll(() => {
  if (problem === undefined) machines.remove();
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
  built.remove();
});

const trainArgs = [...shadesTraining(8), '--epochs', '6'];

interface Worker {
  readonly ended: Promise<Ended>;
  /** Until `stopAfter` has stopped it. @throws Error if it ends before */
  readonly stopped: () => Promise<void>;
  readonly send: (signal: NodeJS.Signals) => void;
}

interface StartOptions {
  /** Stops, as by Ctrl-Z, when it has printed this. */
  readonly stopAfter?: string;
  /** Default 2. */
  readonly workers?: number;
}

function tooEarly(rank: number, end: Ended): never {
  throw new Error(`rank ${rank} has ended before it was to: ${JSON.stringify(end)}`);
}

/** The worker of one machine, in its own folder; rank 0 listens at the first machine's address. */
function start(
  rank: 0 | 1,
  args: readonly string[],
  { stopAfter, workers = 2 }: StartOptions = {},
): Worker {
  const machine = rank === 0 ? machines.first : machines.second;
  const hook = stopAfter === undefined ? [] : ['--import', join(support, 'signal-self.mjs')];
  const [program = '', ...words] = machine.command([process.execPath, ...hook, main, ...args]);
  const child = spawn(program, words, {
    cwd: join(folder, String(rank)),
    env: {
      ...process.env,
      FORCE_COLOR: '',
      OMP_NUM_THREADS: '1',
      XDG_CACHE_HOME: join(folder, String(rank), 'cache'),
      RANK: String(rank),
      LOCAL_RANK: '0',
      WORLD_SIZE: String(workers),
      MASTER_ADDR: machines.first.address,
      MASTER_PORT: '29500',
      ...(stopAfter !== undefined && {
        SIGNAL_WHEN: JSON.stringify({ pattern: stopAfter, signal: 'SIGSTOP' }),
      }),
    },
  });
  const end = ended(child);
  const stopped = async () => {
    // What it printed may be read before it stops: a signal to go on would come too early.
    const state = () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').replace(/^.*\) /s, '')[0];
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) return tooEarly(rank, await end);
      if (state() === 'T') return;
      await pause(20);
    }
  };
  return { ended: end, stopped, send: (signal) => child.kill(signal) };
}

const both = (args: readonly string[]) =>
  Promise.all(([0, 1] as const).map((rank) => start(rank, args).ended));

const weights = (run: string) => readFileSync(join(folder, '0', run, 'model.safetensors'));

const epochs = (run: string) =>
  readFileSync(join(folder, '0', run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { epoch: number }).epoch);

const isGone = (rank: number) =>
  `rank ${rank} is gone: its process was killed, or its machine cannot be reached`;

const title = `two machines${problem === undefined ? '' : ` (skipped: ${problem})`}`;

describe.skipIf(problem !== undefined)(title, () => {
  // Without the heartbeats a collective would end after ten minutes, which is later than this test's own limit.
  it('name each other when the cable is cut, and go on bit for bit when it is mended', async () => {
    for (const { status, stderr } of await both([...trainArgs, '--out', 'whole'])) {
      expect(status, stderr).toBe(0);
    }
    const args = [...trainArgs, '--out', 'cut'];
    const [lead, other] = [start(0, args, { stopAfter: ' 3/6 ' }), start(1, args)];
    await Promise.race([lead.stopped(), other.ended.then((end) => tooEarly(1, end))]);
    machines.cut();
    lead.send('SIGCONT');
    const ends = await Promise.all([lead.ended, other.ended]);
    machines.mend();
    for (const [rank, { status, stderr }] of ends.entries()) {
      expect(status, stderr).toBe(1);
      expect(stderr).toContain(isGone(1 - rank));
    }
    expect(existsSync(join(folder, '0', 'cut', 'model.safetensors'))).toBe(false);

    for (const { status, stderr } of await both(['train', '--resume', '--out', 'cut'])) {
      expect(status, stderr).toBe(0);
    }
    expect(weights('cut').equals(weights('whole'))).toBe(true);
    expect(epochs('cut')).toEqual([1, 2, 3, 4, 5, 6]);
    // Rank 0 alone writes.
    expect(existsSync(join(folder, '1', 'cut'))).toBe(false);
  });

  it('lose one whose worker is killed, and the first goes on alone', async () => {
    const args = [...trainArgs, '--out', 'killed'];
    const [lead, other] = [start(0, args, { stopAfter: ' 3/6 ' }), start(1, args)];
    await Promise.race([lead.stopped(), other.ended.then((end) => tooEarly(1, end))]);
    other.send('SIGKILL');
    lead.send('SIGCONT');
    const { status, stderr } = await lead.ended;
    expect(status, stderr).toBe(1);
    expect(stderr).toContain(isGone(1));
    const alone = await start(0, ['train', '--resume', '--out', 'killed'], { workers: 1 }).ended;
    expect(alone.status, alone.stderr).toBe(0);
    expect(epochs('killed')).toEqual([1, 2, 3, 4, 5, 6]);
  });
});
