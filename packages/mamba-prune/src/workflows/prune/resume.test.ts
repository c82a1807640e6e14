// Runs that are stopped or fall over anywhere end as those that ran through, bit for bit.
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { TrainHooks } from '../../training/hooks.js';
import { RunFolder } from '../../training/run-folder.js';
import type { PruneHooks } from './hooks.js';
import { readPruningRecord } from './record.js';
import { pruneRun } from './run.js';
import type { PruneSettings } from './settings.js';
import { digestOf } from './source.js';
import { outcomeOf } from '../testing/outcome.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';
import type { RunControl } from '../settings.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const dense = (): string => at('dense', 'model.safetensors');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-resume-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
  const sizes = { baseWidth: 8, blocks: [1, 1], stemStride: 1 };
  const vmamba = { ...tinyTraining(at('images')), arch: 'vmamba_nano', model: sizes };
  const normed = await trainRun({ ...vmamba, keepEpochs: [] }, { out: at('vmamba') });
  normed.model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const recipe = { ...tinyRecipe, epochs: 2, checkpointEvery: { steps: 3, minutes: null } };

/** Every kind of step that a run can be stopped in. */
const cases: Record<string, Partial<PruneSettings>> = {
  'rsst with doomed units, averaged weights and a rewind': {
    method: 'rsst',
    rounds: 2,
    rsst: { units: 'doomed', norm: 'group', strength: 1e-2, epochs: 1 },
    rewind: 'epoch:2',
    recipe: { ...recipe, emaDecay: 0.9 },
  },
  'rsst through the cut, with averaged weights': {
    method: 'rsst',
    rounds: 2,
    rsst: { units: 'doomed', norm: 'group', strength: 5, epochs: 1, lrThrough: true },
    recipe: { ...recipe, emaDecay: 0.9, warmupEpochs: 2 },
  },
  'rsst with units chosen anew, through the cut': {
    method: 'rsst',
    importance: 'taylor',
    scoreBatches: 1,
    rsst: { units: 'doomed', strength: 20, epochs: 3, rechoose: 1, lrThrough: true },
    recipe: { ...recipe, emaDecay: 0.9, epochs: 1, lr: 1e-2 },
  },
  'rsst with several cuts in one training, the first at zero early': {
    method: 'rsst',
    rsst: {
      ...({ units: 'doomed', schedule: 'constant', strength: 1000, epochs: 4 } as const),
      ...({ lrThrough: true, cuts: 2, cutAtZero: true } as const),
    },
    recipe: { ...recipe, emaDecay: 0.9, epochs: 1 },
  },
  'rsst that shrinks units chosen anew, through the cut': {
    method: 'rsst',
    importance: 'taylor',
    scoreBatches: 1,
    rsst: { units: 'doomed', apply: 'shrink', epochs: 2, rechoose: 1, lrThrough: true },
    recipe: { ...recipe, epochs: 1, lr: 1e-2 },
  },
  'rsst of a model with a norm over its units, chosen anew, through the cut': {
    get model() {
      return at('vmamba', 'model.safetensors');
    },
    method: 'rsst',
    importance: 'taylor',
    scoreBatches: 1,
    rsst: { units: 'doomed', apply: 'shrink', epochs: 3, rechoose: 1, lrThrough: true },
    recipe: { ...recipe, epochs: 1, lr: 1e-2 },
  },
  'rsst of a model with a norm over its units, with several cuts': {
    get model() {
      return at('vmamba', 'model.safetensors');
    },
    method: 'rsst',
    rsst: { units: 'doomed', apply: 'shrink', epochs: 2, lrThrough: true, cuts: 2 },
    recipe: { ...recipe, emaDecay: 0.9, epochs: 1, lr: 1e-2 },
  },
  'refill by gradient with a teacher': {
    method: 'refill',
    rounds: 3,
    importance: 'taylor',
    scoreBatches: 1,
    refill: { fillback: 0.25, score: 'gradient', budget: 'keep' },
    distill: { weight: 0.5, temperature: 2 },
    recipe: { ...recipe, epochs: 1 },
  },
  'rsst without training after the cuts': {
    method: 'rsst',
    rounds: 2,
    rates: { ssm: 0, mlp: 0 },
    rsst: { strength: 0.1, nearZero: 0.2, epochs: 1 },
    recipe: { ...recipe, epochs: 0 },
  },
};

type Event = keyof PruneHooks | keyof TrainHooks;

/** Hooks that tell of everything that happens. */
function listening(heard: (event: Event) => void): PruneHooks {
  const hear = (event: Event) => (): undefined => {
    heard(event);
  };
  return {
    onEvaluate: hear('onEvaluate'),
    onScore: hear('onScore'),
    onCut: hear('onCut'),
    onRound: hear('onRound'),
    onPhase: () => ({
      onStep: hear('onStep'),
      onEpoch: hear('onEpoch'),
      onEvaluate: hear('onEvaluate'),
      onCheckpoint: hear('onCheckpoint'),
    }),
  };
}

async function go(
  name: string,
  settings: PruneSettings,
  control: Partial<RunControl> = {},
  hooks?: PruneHooks,
): Promise<boolean> {
  const { finished, model } = await pruneRun(settings, { out: at(name), ...control }, hooks);
  model.dispose();
  return finished;
}

describe('rounds without data, which only cut', () => {
  it('stop when the event loop brings a signal, and go on to the same end', async () => {
    const settings: PruneSettings = {
      ...tinyPruning(dense(), at('images'), { rounds: 6 }),
      dataset: undefined,
    };
    expect(await go('cuts', settings)).toBe(true);

    const controller = new AbortController();
    const rounds: number[] = [];
    const stopped = await go(
      'cuts-stopped',
      settings,
      { signal: controller.signal },
      {
        onRound: ({ round }) => {
          rounds.push(round);
          // As a signal of the system does: in a task of its own.
          setImmediate(() => {
            controller.abort();
          });
        },
      },
    );
    expect(stopped).toBe(false);
    expect(rounds).toEqual([1]);
    expect(await go('cuts-stopped', settings, { resume: true })).toBe(true);
    expect(outcomeOf(at('cuts-stopped'))).toEqual(outcomeOf(at('cuts')));
  });
});

describe.each(Object.entries(cases))('%s', (title, changes) => {
  const name = title.replaceAll(' ', '-');
  const settings = (): PruneSettings => tinyPruning(dense(), at('images'), changes);
  const events: Event[] = [];
  let whole: ReturnType<typeof outcomeOf>;

  beforeAll(async () => {
    const done = await go(
      name,
      settings(),
      {},
      listening((event) => events.push(event)),
    );
    expect(done).toBe(true);
    whole = outcomeOf(at(name));
  });

  it.each([5, 13])('ends the same when it is stopped after every %i events', async (every) => {
    const run = `${name}-every-${every}`;
    let stops = 0;
    for (let finished = false; !finished; stops++) {
      const controller = new AbortController();
      let left = every;
      const hooks = listening(() => {
        if (--left === 0) controller.abort();
      });
      const resume = existsSync(at(run));
      finished = await go(run, settings(), { signal: controller.signal, resume }, hooks);
      expect(stops).toBeLessThan(events.length);
    }
    expect(stops).toBeGreaterThan(1);
    expect(outcomeOf(at(run))).toEqual(whole);
  });

  // An error thrown out of a hook leaves the files as a process that is killed there does.
  it('ends the same when it falls over once at every kind of event', async () => {
    const run = `${name}-falling`;
    const heard: Event[] = [];
    const fallen: Event[] = [];
    const count = (all: readonly Event[], kind: Event) => all.filter((e) => e === kind).length;
    // In the middle of a whole run, or before: what is done again is heard again.
    const falling = listening((event) => {
      heard.push(event);
      if (count(heard, event) !== Math.ceil(count(events, event) / 2)) return;
      fallen.push(event);
      throw new Error('fell over');
    });
    for (let finished = false; !finished;) {
      const before = fallen.length;
      try {
        finished = await go(run, settings(), { resume: before > 0 }, falling);
      } catch (error) {
        if (fallen.length === before) throw error;
        expect(error).toMatchObject({ message: 'fell over' });
      }
    }
    expect([...fallen].sort()).toEqual([...new Set(events)].sort());
    expect(outcomeOf(at(run)), `fell over at ${fallen.join(', ')}`).toEqual(whole);
  });
});

describe('resuming', () => {
  const settings = (changes: Partial<PruneSettings> = {}): PruneSettings =>
    tinyPruning(dense(), at('images'), { rounds: 2, recipe, ...changes });

  /** A run that stopped in the training of its second round. */
  async function stopped(name: string, changes: Partial<PruneSettings> = {}): Promise<void> {
    const controller = new AbortController();
    let rounds = 0;
    const finished = await go(
      name,
      settings(changes),
      { signal: controller.signal },
      {
        onCut: () => rounds++,
        onPhase: () => ({
          onStep: () => {
            if (rounds === 2) controller.abort();
          },
        }),
      },
    );
    expect(finished).toBe(false);
  }

  beforeAll(async () => {
    await go('reference', settings());
  });

  it('needs the model that was pruned no more once it is cut', async () => {
    await stopped('without-source');
    renameSync(dense(), at('away'));
    try {
      expect(await go('without-source', settings(), { resume: true })).toBe(true);
    } finally {
      renameSync(at('away'), dense());
    }
    expect(outcomeOf(at('without-source'))).toEqual(outcomeOf(at('reference')));
  });

  it('says that the teacher is gone, or is another model, and loses nothing', async () => {
    const distilled = { distill: { weight: 0.5 } };
    await stopped('teacher', distilled);
    renameSync(dense(), at('away'));
    try {
      await expect(go('teacher', settings(distilled), { resume: true })).rejects.toThrow(
        /model\.safetensors, the model that is pruned, does not exist any more\. Put it back/,
      );
      copyFileSync(at('reference', 'model.safetensors'), dense());
      await expect(go('teacher', settings(distilled), { resume: true })).rejects.toThrow(
        /is not the model that the run began with: it has another content/,
      );
    } finally {
      renameSync(at('away'), dense());
    }
    expect(await go('teacher', settings(distilled), { resume: true })).toBe(true);
  });

  it('takes the model and the images from where they lie now, and tells where that is', async () => {
    const distilled = { distill: { weight: 0.5 } };
    await stopped('moved', distilled);
    const [model, data] = [at('moved-dense.safetensors'), at('moved-images')];
    cpSync(at('images'), data, { recursive: true });
    renameSync(dense(), model);
    const now = { ...settings(distilled), model, data };
    try {
      await expect(go('moved', settings(distilled), { resume: true })).rejects.toThrow(
        'name it where it lies now',
      );
      copyFileSync(at('reference', 'model.safetensors'), at('another.safetensors'));
      const another = { ...now, model: at('another.safetensors') };
      await expect(go('moved', another, { resume: true })).rejects.toThrow('has another content');
      await expect(go('moved', { ...now, model: at('nowhere') }, { resume: true })).rejects.toThrow(
        'nowhere, the model that is pruned, does not exist any more',
      );
      expect(RunFolder.open(at('moved')).config['settings']).toMatchObject({ model: dense() });
      expect(await go('moved', now, { resume: true })).toBe(true);
    } finally {
      renameSync(model, dense());
    }
    expect(RunFolder.open(at('moved')).config).toMatchObject({
      settings: { model, data },
      source: { path: model, sha256: digestOf(dense()) },
      dataset: { dir: data },
    });
    expect(readPruningRecord(at('moved'))?.source).toBe(model);
  });

  it('refuses other settings, and fewer or more epochs for rounds that are done', async () => {
    await stopped('changed');
    const resume = (changes: Partial<PruneSettings>): Promise<boolean> =>
      go('changed', settings(changes), { resume: true });
    await expect(resume({ rates: { ssm: 0.5, mlp: 0.5 } })).rejects.toThrow(
      /rates\.ssm: got 0\.5, expected 0\.7; rates\.mlp: got 0\.5, expected 0\.7/,
    );
    await expect(resume({ rounds: 3 })).rejects.toThrow(/rounds: got 3, expected 2/);
    await expect(resume({ recipe: { ...recipe, lr: 1 } })).rejects.toThrow(/lr: got 1, expected/);
    await expect(resume({ recipe: { ...recipe, epochs: 3 } })).rejects.toThrow(
      /epochs: got 3, expected 2/,
    );
    const often = { ...recipe, checkpointEvery: { steps: 1, minutes: null } };
    expect(await resume({ recipe: often })).toBe(true);
    expect(outcomeOf(at('changed'))).toEqual(outcomeOf(at('reference')));
  });

  it('lets the epochs of a single round grow, also when it is finished', async () => {
    const one = (epochs: number): PruneSettings =>
      settings({ rounds: 1, recipe: { ...recipe, epochs } });
    await go('grown', one(1));
    expect(await go('grown', one(3), { resume: true })).toBe(true);
    const { metrics, record } = outcomeOf(at('grown')) as {
      metrics: { epoch: number; valAccuracy: number }[];
      record: { accuracy: { after: number } };
    };
    expect(metrics.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    expect(record.accuracy.after).toBe(metrics[2]?.valAccuracy);
  });

  it('trains what was only cut, to the same end as one run that does both', async () => {
    const one = (epochs: number): PruneSettings =>
      settings({ rounds: 1, recipe: { ...recipe, epochs } });
    await go('both', one(1));
    await go('first-cut', one(0));
    expect(readPruningRecord(at('first-cut'))?.accuracy.after).toBeNull();
    expect(await go('first-cut', one(1), { resume: true })).toBe(true);
    expect(outcomeOf(at('first-cut'))).toEqual(outcomeOf(at('both')));
  });

  it('goes on before a last checkpoint that is damaged, even at the end of a round', async () => {
    const damage = (name: string): void => {
      writeFileSync(at(name, 'checkpoints', 'last.safetensors'), 'damaged');
    };
    await stopped('damaged');
    damage('damaged');
    await expect(go('damaged', settings(), { resume: true })).rejects.toThrow(/`resume` previous/);
    expect(await go('damaged', settings(), { resume: 'previous' })).toBe(true);
    expect(outcomeOf(at('damaged'))).toMatchObject({
      model: outcomeOf(at('reference'))['model'],
    });
    // Between two rounds the last checkpoint is the end of the first.
    const fell = go(
      'damaged-end',
      settings(),
      {},
      {
        onRound: () => {
          throw new Error('fell over');
        },
      },
    );
    await expect(fell).rejects.toThrow('fell over');
    damage('damaged-end');
    expect(await go('damaged-end', settings(), { resume: 'previous' })).toBe(true);
    expect(outcomeOf(at('damaged-end'))).toMatchObject({
      model: outcomeOf(at('reference'))['model'],
      record: outcomeOf(at('reference'))['record'],
    });
  });

  it('begins anew with --restart when the model to go on with is gone or damaged', async () => {
    const lose: Record<string, (path: string) => void> = {
      missing: rmSync,
      damaged: (path) => {
        writeFileSync(path, 'damaged');
      },
    };
    for (const [state, damage] of Object.entries(lose)) {
      const name = `lost-${state}`;
      await stopped(name);
      damage(at(name, 'checkpoints', 'round-2-cut.safetensors'));
      const resumed = go(name, settings(), { resume: true });
      await expect(resumed).rejects.toThrow('round-2-cut.safetensors');
      await expect(resumed).rejects.not.toThrow('before there were rounds');
      const notes: string[] = [];
      const onNote = (note: string): void => {
        notes.push(note);
      };
      const again = { resume: true, restart: true, data: { onNote } } as const;
      expect(await go(name, settings(), again)).toBe(true);
      expect(notes.join('\n')).toContain(
        `the model of round 2, is ${state}: the pruning begins anew with the model that was pruned`,
      );
      expect(outcomeOf(at(name))).toEqual(outcomeOf(at('reference')));
      expect(existsSync(at(name, 'checkpoints', 'lost', 'last.safetensors'))).toBe(true);
    }
  });

  it('begins a finished run anew of which the result is gone, and says how without --restart', async () => {
    await go('gone', settings());
    rmSync(at('gone', 'model.safetensors'));
    await expect(go('gone', settings(), { resume: true })).rejects.toThrow(
      /model of round 2, is missing.*`resume` with `restart`.*its first command again, with `overwrite`/,
    );
    expect(await go('gone', settings(), { resume: true, restart: true })).toBe(true);
    expect(outcomeOf(at('gone'))).toEqual(outcomeOf(at('reference')));
  });

  it('says under lr-through that the training before the cut is lost, and begins anew if told to', async () => {
    const through: Partial<PruneSettings> = {
      method: 'rsst',
      rounds: 1,
      rsst: { epochs: 2, lrThrough: true },
      recipe: { ...recipe, epochs: 1 },
    };
    expect(await go('through', settings(through))).toBe(true);
    // Between the cut and the first checkpoint after it.
    const fallen = async (name: string): Promise<void> => {
      const onCut = (): void => {
        throw new Error('fell over');
      };
      await expect(go(name, settings(through), {}, { onCut })).rejects.toThrow('fell over');
      writeFileSync(at(name, 'checkpoints', 'last.safetensors'), 'damaged');
    };
    await fallen('through-lost');
    const resume = (control: Partial<RunControl>, name = 'through-lost'): Promise<boolean> =>
      go(name, settings(through), control);
    await expect(resume({ resume: true })).rejects.toThrow(/`resume` previous/);
    await expect(resume({ resume: 'previous' })).rejects.toThrow(
      /last\.safetensors, the checkpoint that the training of round 1 goes on from, is damaged; under `rsst\.lrThrough`.*`resume` with `restart`/,
    );
    const notes: string[] = [];
    const data = { onNote: (note: string) => notes.push(note) };
    expect(await resume({ resume: true, restart: true, data })).toBe(true);
    expect(notes.join()).toContain('the pruning begins anew with the model that was pruned');
    expect(outcomeOf(at('through-lost'))).toEqual(outcomeOf(at('through')));

    await fallen('through-none');
    rmSync(at('through-none', 'checkpoints', 'last.safetensors'));
    rmSync(at('through-none', 'checkpoints', 'previous.safetensors'));
    await expect(resume({ resume: true }, 'through-none')).rejects.toThrow(
      /`resume` with `restart`/,
    );
    await expect(resume({ resume: 'previous' }, 'through-none')).rejects.toThrow(/`restart`/);
    expect(await resume({ resume: true, restart: true }, 'through-none')).toBe(true);
    expect(outcomeOf(at('through-none'))).toEqual(outcomeOf(at('through')));
  });

  it('lets the epochs of a single round through the cut grow, before and after its end', async () => {
    const one = (epochs: number): PruneSettings =>
      settings({
        method: 'rsst',
        rounds: 1,
        rsst: { epochs: 1, lrThrough: true },
        recipe: { ...recipe, epochs, schedule: 'constant' },
      });
    expect(await go('through-longer', one(3))).toBe(true);
    const controller = new AbortController();
    const onCut = (): void => {
      controller.abort();
    };
    const { signal } = controller;
    expect(await go('through-grown', one(1), { signal }, { onCut })).toBe(false);
    expect(await go('through-grown', one(2), { resume: true })).toBe(true);
    expect(await go('through-grown', one(3), { resume: true })).toBe(true);
    // Under a constant schedule the longer training is the shorter one and more.
    const { model, metrics } = outcomeOf(at('through-grown'));
    expect({ model, metrics }).toEqual({
      model: outcomeOf(at('through-longer'))['model'],
      metrics: outcomeOf(at('through-longer'))['metrics'],
    });
    await expect(
      go(
        'through-grown',
        settings({ method: 'rsst', rounds: 1, rsst: { epochs: 1, lrThrough: false }, recipe }),
        { resume: true },
      ),
    ).rejects.toThrow(/rsst\.lrThrough: got false, expected true/);
  });

  it('names what is left when the record is damaged, and touches nothing', async () => {
    await stopped('record');
    const file = at('record', 'pruning.json');
    const text = readFileSync(file, 'utf8');
    const first = at('record', 'checkpoints', 'round-1.safetensors');
    for (const [damage, problem] of [
      [text.slice(0, 400), /is no record of a pruning/],
      [text.replace(/("kept": {\s*"blocks\.0\.ssm": ")[\d,-]+/, '$10-2,9-8'), /got '9-8'/],
      [text.replace('"round": 2', '"round": 7'), /got round 7 as entry 2/],
      [
        text.replace(/("kept": {\s*"blocks\.0\.ssm": ")[\d,-]+/, '$10'),
        /round \d keeps 1 units of 'blocks\.0\.ssm', but its width is \d/,
      ],
    ] as const) {
      expect(damage).not.toBe(text);
      writeFileSync(file, damage);
      const resumed = go('record', settings(), { resume: true });
      await expect(resumed).rejects.toThrow(problem);
      await expect(resumed).rejects.toThrow(`can be pruned on: ${first}`);
    }
    writeFileSync(file, text);
    expect(await go('record', settings(), { resume: true })).toBe(true);
    expect(outcomeOf(at('record'))).toEqual(outcomeOf(at('reference')));
  });
});
