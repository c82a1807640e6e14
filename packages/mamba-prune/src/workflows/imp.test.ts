// The dense training and the rounds as one job.
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadModel } from '../models/model-file.js';
import { type ImpHooks, type ImpPlan, type ImpRun, impRun } from './imp.js';
import { densePath } from './prune/files.js';
import type { RunControl } from './settings.js';
import { outcomeOf } from './testing/outcome.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from './testing/tiny.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-imp-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const recipe = { ...tinyRecipe, epochs: 2 };

function planOf(name: string): ImpPlan {
  const dense = { ...tinyTraining(at('images')), recipe, keepEpochs: [1] };
  return {
    arch: dense.arch,
    model: dense.model,
    dense,
    prune: tinyPruning(join(densePath(at(name)), 'model.safetensors'), at('images'), {
      rounds: 2,
      rewind: 'epoch:1',
      recipe,
    }),
  };
}

async function go(
  name: string,
  control: Partial<RunControl> = {},
  hooks: ImpHooks = {},
): Promise<ImpRun> {
  const run = await impRun(planOf(name), { out: at(name), ...control }, hooks);
  run.pruned?.model.dispose();
  return run;
}

/** Without what names the folder. */
function comparable(name: string): object {
  const outcome = outcomeOf(at(name));
  return { ...outcome, record: { ...(outcome['record'] as object), source: '' } };
}

describe('imp', () => {
  it('ends bit for bit the same when it is stopped in the dense training and in a round', async () => {
    expect(await go('whole')).toMatchObject({ finished: true, dense: { epochs: 2 } });
    const dense = new AbortController();
    const first = await go(
      'parts',
      { signal: dense.signal },
      {
        onDense: () => ({
          onStep: ({ step }) => {
            if (step === 3) dense.abort();
          },
        }),
      },
    );
    expect(first).toMatchObject({ finished: false, dense: { steps: 3 } });
    expect(first.pruned).toBeUndefined();
    expect(existsSync(at('parts', 'config.json'))).toBe(false);
    const round = new AbortController();
    let cuts = 0;
    const second = await go(
      'parts',
      { signal: round.signal, resume: true },
      {
        prune: {
          onCut: () => cuts++,
          onPhase: () => ({
            onStep: ({ step }) => {
              if (cuts === 2 && step === 2) round.abort();
            },
          }),
        },
      },
    );
    expect(second).toMatchObject({ finished: false, dense: { epochs: 2, finished: true } });
    const begun: string[] = [];
    const third = await go(
      'parts',
      { resume: true },
      {
        onDense: () => {
          begun.push('dense');
          return {};
        },
      },
    );
    expect(third.finished).toBe(true);
    expect(begun).toEqual([]);
    expect(comparable('parts')).toEqual(comparable('whole'));
    const { model, info } = loadModel(at('parts', 'model.safetensors'));
    expect(info.history.map(({ step }) => step)).toEqual([
      'train',
      'prune',
      'finetune',
      'prune',
      'finetune',
    ]);
    model.dispose();
  });

  it('says how to go on instead of touching a run that is there', async () => {
    const before = comparable('whole');
    await expect(go('whole')).rejects.toThrow(
      /holds a run already\. Go on with it \(`resume`\), or start a new one in another folder \(`out`\)/,
    );
    await expect(go('nowhere', { resume: true })).rejects.toThrow(/holds no run to resume/);
    const { dense, ...plan } = planOf('whole');
    if (!dense) throw new Error('no dense training');
    const other = { ...plan, dense: { ...dense, model: { ...dense.model, depth: 3 } } };
    await expect(impRun(other, { out: at('whole'), resume: true })).rejects.toThrow(
      /the dense training is not the one that the run began with: model\.depth: got 3, expected \d\. Give what the run began with/,
    );
    expect(comparable('whole')).toEqual(before);
    expect(existsSync(at('nowhere'))).toBe(false);
  });

  it('prunes a state dict of another program, with classes and normalisation of the data', async () => {
    const { model, info } = loadModel(at('whole', 'dense', 'model.safetensors'));
    saveSafetensors(at('foreign.safetensors'), model.stateDict());
    model.dispose();
    const prune = tinyPruning(at('foreign.safetensors'), at('images'), {
      rewind: 'source',
      recipe,
    });
    const plan = { ...planOf('foreign'), dense: undefined, prune };
    const run = await impRun(plan, { out: at('foreign') });
    expect(run).toMatchObject({ finished: true, dense: undefined });
    expect(run.pruned?.info).toMatchObject({ classes: info.classes, mean: info.mean });
    expect(run.pruned?.record.source).toBe(at('foreign.dense.safetensors'));
    run.pruned?.model.dispose();
    // The run goes on with its own copy.
    renameSync(at('foreign.safetensors'), at('moved.safetensors'));
    const again = await impRun(plan, { out: at('foreign'), resume: true });
    expect(again.finished).toBe(true);
    again.pruned?.model.dispose();
    const missing = { ...prune, model: at('nothing') };
    await expect(impRun({ ...plan, prune: missing }, { out: at('never') })).rejects.toThrow(
      /the dense model .*nothing does not exist/,
    );
  });

  it('finds what is wrong with the pruning before the dense training', async () => {
    const { prune, ...rest } = planOf('wrong');
    const wrong = { ...rest, prune: { ...prune, rounds: 0 } };
    await expect(impRun(wrong, { out: at('wrong') })).rejects.toThrow(/rounds: got 0/);
    expect(existsSync(at('wrong'))).toBe(false);
  });
});
