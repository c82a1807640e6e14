// NCCL over sockets: a training of two launches, each with a GPU of its own, as two machines without anything faster between them
// would run it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { cudaDeviceCount, loadSafetensors } from '@mamba-prune/libtorch';
import { TwoLaunches, until, writeImages } from './two-launches.mjs';

const gpus = cudaDeviceCount();
const epochs = 12;

describe('two launches on two GPUs', { skip: gpus < 2 && `needs two GPUs, found ${gpus}` }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-sockets-'));
  let launches;
  after(() => {
    launches?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it('train through sockets, and go on from the checkpoint when one of them was killed', async (t) => {
    const data = join(folder, 'data');
    writeImages(data);
    launches = await TwoLaunches.connect(folder, 'cuda');
    t.diagnostic(`joined by ${launches.where}`);
    const args = [
      ...['train', '--arch', 'mamba_small', '--depth', '4', '--device', 'cuda'],
      ...['--dataset', 'cifar10', '--data', data, '--train-images', '10000'],
      ...['--test-images', '500', '--augment', 'none'],
      ...['--epochs', `${epochs}`, '--batch-size', '500', '--precision', 'fp32'],
      // The step of SGD is in proportion to the gradient: roundings stay as small as they are.
      ...['--optimizer', 'sgd', '--lr', '0.02'],
    ];
    const timed = async (what, body) => {
      const started = performance.now();
      const result = await body();
      t.diagnostic(`${what}: ${((performance.now() - started) / 1e3).toFixed(1)} s`);
      return result;
    };
    const toTheEnd = async (given) => {
      const both = await launches.start(given);
      for (const { status, output } of await Promise.all(both.map(({ ended }) => ended)))
        assert.equal(status, 0, output);
    };

    await timed('undisturbed', () => toTheEnd([...args, '--out', 'whole']));
    const log = launches.ncclLog();
    const channels = [...log.matchAll(/Channel .* via (\S+)/g)].map(([, transport]) => transport);
    t.diagnostic(`NCCL's channels: ${[...new Set(channels)].join(', ') || 'none told'}`);
    assert.match(log, /NET\/Socket/);
    assert.ok(
      channels.every((transport) => transport.startsWith('NET/Socket')),
      channels.join(),
    );

    await timed('until one is killed', async () => {
      const [lead, other] = await launches.start([...args, '--out', 'killed']);
      await until([lead, other], () => launches.metrics('killed').length >= 3);
      const killed = performance.now();
      other.kill();
      const { status, output } = await lead.ended;
      t.diagnostic(`rank 0 ended ${((performance.now() - killed) / 1e3).toFixed(1)} s after that`);
      assert.equal(status, 1, output);
      assert.match(output, /rank 1 is gone: its process was killed/);
    });
    await timed('resumed', () => toTheEnd(['train', '--resume', '--out', 'killed']));

    const [whole, resumed] = ['whole', 'killed'].map((run) => launches.metrics(run));
    assert.deepEqual(
      resumed.map(({ epoch }) => epoch),
      Array.from({ length: epochs }, (_, i) => i + 1),
    );
    t.diagnostic(`undisturbed: ${JSON.stringify(whole.at(-1))}`);
    t.diagnostic(`resumed: ${JSON.stringify(resumed.at(-1))}`);
    assert.ok(whole.at(-1).loss < 0.9 * whole[0].loss, 'the training learnt nothing');
    const [expected, got] = ['whole', 'killed'].map((run) =>
      values(loadSafetensors(launches.path(run, 'model.safetensors')).tensors),
    );
    const apart = norm(expected.map((x, i) => x - got[i])) / norm(expected);
    t.diagnostic(`distance of the weights, in parts of their norm: ${apart}`);
    // The steps after a resumption are launched one by one at first, where cuBLAS may sum in another order; an epoch too many or
    // too few, or another order of the images, is a distance of a hundredth and more.
    assert.ok(expected.length === got.length && apart < 1e-3, `${apart}`);
  });
});

/** All values of a state, in the order of the names. */
function values(state) {
  return [...state.keys()].sort().flatMap((name) => state.get(name).toNumbers());
}

function norm(numbers) {
  return Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0));
}
