// One training on a GPU in two phases, with a cut between them: the step is captured in each.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import { RunFolder, createModel, pruneModel, trainModel } from 'mamba-prune';
import { doomedUnits, readUnitNorms, rsstHooks, tensorCut } from 'mamba-prune/pruning';
import { readCheckpointInfo } from 'mamba-prune/training';
import { gpu, skip } from './support.mjs';
import { dataset, newModel, options as recipe } from './training.mjs';

/** Every second unit of the SSMs and MLPs stays. */
const halfOf = (model) =>
  new Map(
    model
      .pruningGroups()
      .filter(({ kind }) => kind === 'ssm' || kind === 'mlp')
      .map(({ name, size }) => [name, Array.from({ length: size / 2 }, (_, i) => 2 * i)]),
  );

const options = { ...recipe, optimizer: 'muon', lr: 1e-3, emaDecay: 0.9, precision: 'auto' };

describe('a training through a cut', { skip }, () => {
  it('goes on with the optimizer, the averages and the schedule, its step captured anew', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-through-'));
    const run = RunFolder.create(join(folder, 'run'), { command: 'prune', args: [], seed: 3 });
    try {
      const images = dataset(1280);
      const model = newModel(gpu);
      const half = await trainModel(model, images, options, run, {}, { phase: 'a', untilEpoch: 2 });
      assert.equal(half.finished, true);
      const before = readCheckpointInfo(run.lastCheckpoint);
      const kept = halfOf(model);
      const cut = tensorCut(model, kept);
      const small = pruneModel(model, kept).to(gpu);
      model.dispose();
      let begun;
      const onCheckpoint = (path) => {
        begun ??= readCheckpointInfo(path);
      };
      const control = { phase: 'b', continues: { phase: 'a', cut }, resume: true };
      const whole = await trainModel(small, images, options, run, { onCheckpoint }, control);
      assert.deepEqual(begun.optimizer, before.optimizer);
      assert.equal(begun.emaUpdates, 20);
      assert.deepEqual([whole.finished, whole.epochs, whole.steps], [true, 4, 40]);
      const lines = run.readMetrics();
      assert.deepEqual(
        lines.map(({ phase, epoch, graph }) => [phase, epoch, graph]),
        [1, 2, 3, 4].map((epoch) => [epoch <= 2 ? 'a' : 'b', epoch, 'replayed']),
      );
      // Ten steps an epoch, a cosine over all 40.
      for (const { step, lr } of lines) {
        const expected = (1e-3 * (1 + Math.cos((Math.PI * (step - 1)) / 40))) / 2;
        assert.ok(Math.abs(lr - expected) < 1e-9, `step ${step}: ${lr}`);
      }
      // Half of the units of a model that had hardly learnt: the loss goes on from where it was.
      assert.ok(lines[3].loss < lines[0].loss, `${lines[3].loss}`);
      small.dispose();
    } finally {
      run.release();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  /** The first part of a training, in which half of the units are regularised. */
  const regularised = async (given, { untilEpoch, cutsAtZero }) => {
    const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-through-'));
    const run = RunFolder.create(join(folder, 'run'), { command: 'prune', args: [], seed: 3 });
    const model = newModel(gpu);
    try {
      const groups = model.pruningGroups();
      const units = doomedUnits(groups, halfOf(model));
      const rsst = { norm: 'group', targets: ['ssm', 'mlp'], units, epochs: untilEpoch, ...given };
      const hooks = rsstHooks(model, groups, rsst);
      const endsWhen = cutsAtZero ? hooks.isAtZero : undefined;
      const control = { phase: 'a', untilEpoch, endsWhen };
      const result = await trainModel(model, dataset(1280), options, run, hooks, control);
      const lines = run.readMetrics();
      const kinds = lines.map((line) => readUnitNorms(line).kinds);
      return {
        result,
        graphs: lines.map(({ graph }) => graph),
        shares: kinds.map(({ ssm, mlp }) => [ssm.doomedShare, mlp.doomedShare]),
        isAtZero: hooks.isAtZero(),
      };
    } finally {
      model.dispose();
      run.release();
      rmSync(folder, { recursive: true, force: true });
    }
  };

  it('shrinks doomed units along their schedule in replayed steps, to zero exactly', async () => {
    const given = { apply: 'shrink', schedule: 'cosine', strength: 1 };
    const { graphs, shares, isAtZero } = await regularised(given, { untilEpoch: 3 });
    assert.deepEqual(graphs, ['replayed', 'replayed', 'replayed']);
    // Of the norms, which begin about even, 3/4 and 1/4 are left after one and two thirds of a cosine.
    for (const [i, least, most] of [
      [0, 0.3, 0.5],
      [1, 0.05, 0.3],
      [2, 0, 0],
    ]) {
      for (const share of shares[i]) {
        assert.ok(share >= least && share <= most, `epoch ${i + 1}: ${share}`);
      }
    }
    assert.equal(isAtZero, true);
  });

  it('ends with the epoch that leaves nothing of the doomed units, its steps replayed', async () => {
    const given = { apply: 'proximal', schedule: 'constant', strength: 1e6 };
    const early = await regularised(given, { untilEpoch: 3, cutsAtZero: true });
    assert.deepEqual([early.result.epochs, early.result.finished], [1, true]);
    assert.deepEqual([early.graphs, early.shares], [['replayed'], [[0, 0]]]);
    const weak = { ...given, strength: 1e-6 };
    const late = await regularised(weak, { untilEpoch: 2, cutsAtZero: true });
    assert.deepEqual([late.result.epochs, late.isAtZero], [2, false]);
  });

  it("takes doomed channels out of a VMamba's norm in replayed steps, so that the cut changes nothing", async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-through-'));
    const run = RunFolder.create(join(folder, 'run'), { command: 'prune', args: [], seed: 3 });
    manualSeed(5);
    const sizes = { baseWidth: 32, blocks: [1, 1], stemStride: 2, numClasses: 4 };
    const model = createModel('vmamba_nano', sizes).to(gpu);
    try {
      const kept = halfOf(model);
      const groups = model.pruningGroups();
      const given = { apply: 'shrink', schedule: 'cosine', strength: 1, norm: 'group' };
      const units = doomedUnits(groups, kept);
      const hooks = rsstHooks(model, groups, { ...given, targets: ['ssm', 'mlp'], units });
      const plain = { ...options, epochs: 2, emaDecay: null };
      await trainModel(model, dataset(1280), plain, run, hooks, {});
      assert.deepEqual(
        run.readMetrics().map(({ graph }) => graph),
        ['replayed', 'replayed'],
      );
      const shares = model.normOver('layers.0.blocks.0.ssm').weigh().toNumbers();
      assert.deepEqual(
        shares,
        shares.map((_, unit) => 1 - (unit % 2)),
      );
      const cut = pruneModel(model, kept).to(gpu).eval();
      model.eval();
      const images = randn([8, 3, 32, 32]).to(gpu);
      noGrad(() => {
        const expected = cut.forward(images);
        const worst = model.forward(images).sub(expected).abs().max().item();
        // Sums of other lengths in float32.
        assert.ok(worst < 1e-4 * expected.abs().max().item(), `${worst}`);
      });
      cut.dispose();
    } finally {
      model.dispose();
      run.release();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
