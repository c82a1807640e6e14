// What programs do with the library, and what it says where they do it wrong: the part of it that no compiler sees.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nn, tensor } from '@mamba-prune/libtorch';
import {
  type Calibration,
  type Dataset,
  type TrainHooks,
  DataError,
  UsageError,
  benchModel,
  benchmarkModels,
  calibrationOf,
  createModel,
  evaluateModel,
  exportOnnx,
  inspectModel,
  openModel,
  pruneOneShot,
  pruneRun,
  pruneWithRefill,
  registerDataset,
  trainRun,
} from 'mamba-prune';
import { MemorySplit } from 'mamba-prune/data';
import { budgetTargets, measureSensitivity, ratesFromSensitivity } from 'mamba-prune/pruning';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'mp-library-use-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const side = 6;
const images = 12;
const classes = ['a', 'b', 'c'];
const sizes = { dModel: 8, depth: 2, patchSize: 3 };
const model = createModel('mamba_nano', { ...sizes, imageSize: side, channels: 1, numClasses: 3 });
const info = { classes, mean: [0.5], std: [0.25], history: [] };
const pixels = Uint8Array.from({ length: images * side * side }, (_, i) => (11 * i) % 256);
const labels = Array.from({ length: images }, (_, i) => i % 3);
const facts = { ...info, name: 'mine', channels: 1, height: side, width: side } as const;
const split = new MemorySplit(pixels, labels, side * side);
const dataset: Dataset = { info: facts, train: split, test: split };
const wrong = (value: unknown): never => value as never;

/** The data set with another test split. */
const testing = (test: Partial<Dataset['test']>): Dataset => ({
  ...dataset,
  test: { length: 4, label: () => 0, read: split.read.bind(split), ...test },
});

describe('images of a program', () => {
  it.each([
    ['pixels of another kind', new Float32Array(36), [0], /got a Float32Array of pixels/],
    ['no pixels', [1, 2], [0], /got an array of pixels, expected a Uint8Array/],
    ['a label that is a name', new Uint8Array(36), ['a'], /got label 'a' of image 0/],
    ['a label with a fraction', new Uint8Array(72), [0, 0.5], /got label 0\.5 of image 1/],
    ['a label below 0', new Uint8Array(36), [-1], /got label -1 of image 0/],
  ])('are refused in memory: %s', (_, given, numbers, words) => {
    const make = () => new MemorySplit(wrong(given), wrong(numbers), 36);
    expect(make).toThrow(DataError);
    expect(make).toThrow(words);
  });

  it.each([
    [
      'a label of no class',
      { label: () => 3 },
      /got label 3 of image \d+, expected an integer from 0 to 2/,
    ],
    ['a promise of a label', { label: () => wrong(Promise.resolve(0)) }, /got label an object/],
    [
      'too few pixels',
      { read: () => new Uint8Array(3) },
      /got 3 bytes of pixels, expected 144 bytes/,
    ],
    ['numbers for pixels', { read: () => wrong(new Float32Array(144)) }, /got no Uint8Array/],
    ['a promise of too few', { read: () => Promise.resolve(new Uint8Array(3)) }, /got 3 bytes/],
  ])('are refused as they are read: %s', async (_, test, words) => {
    const given = testing(test);
    await expect(evaluateModel(model, given)).rejects.toThrow(DataError);
    await expect(evaluateModel(model, given)).rejects.toThrow(words);
    const calibration = calibrationOf({ ...given, train: given.test });
    const cut = { importance: 'taylor', ranking: 'global', rates: { mlp: 0.5 } } as const;
    await expect(pruneOneShot(model, cut, calibration)).rejects.toThrow(words);
  });

  it('of views are copied, so that what the split keeps stays as it is', async () => {
    const before = Uint8Array.from(pixels);
    await evaluateModel(model, testing({ read: (at) => pixels.subarray(0, at.length * 36) }));
    expect(pixels).toEqual(before);
  });

  it('of a model of other sizes are refused as a wrong use', async () => {
    expect(() => model.forward(wrong([1, 2]))).toThrow(UsageError);
    expect(() => model.forward(tensor([1, 2]))).toThrow(UsageError);
    const other = { ...dataset, info: { ...facts, height: 3, width: 12 } };
    await expect(evaluateModel(model, other)).rejects.toThrow(/expected \[batch, 1, 6, 6\]/);
  });
});

describe('a device', () => {
  it.each(['gpu', 'cuda:x', 'CPU', ''])('that there is not is refused: %j', async (device) => {
    const words = `device: got '${device}', expected cpu, cuda or cuda:N`;
    await expect(evaluateModel(model, dataset, { device })).rejects.toThrow(words);
    await expect(benchmarkModels([benchModel('a', model)], { device })).rejects.toThrow(words);
    expect(() => calibrationOf(dataset, { device })).toThrow(words);
  });
});

const kinds = { ssm: 0, mlp: 0 };
const cut = { importance: 'l2', ranking: 'global', rates: kinds } as const;

describe('a cost budget of a cut', () => {
  it('is told as amounts, and the result says what it came to', async () => {
    const { macs } = inspectModel(model);
    const byAmounts = await pruneOneShot(model, { ...cut, costBudget: { macs: '0.5x' } });
    const targets = budgetTargets(model, { macs: '0.5x' });
    const byTargets = await pruneOneShot(model, { ...cut, costBudget: { targets } });
    expect(byAmounts.kept).toEqual(byTargets.kept);
    const [target] = byAmounts.solution?.targets ?? [];
    expect(target).toMatchObject({ name: 'MACs', limit: macs / 2, before: macs });
    expect(target?.reached).toBe(inspectModel(byAmounts.model).macs);
    expect(target?.reached).toBeLessThanOrEqual(macs / 2);
    expect((await pruneOneShot(model, { ...cut, rates: { mlp: 0.5 } })).solution).toBeUndefined();
  });

  it('holds after a refill too', async () => {
    const { macs } = inspectModel(model);
    const refill = { fillback: 0.2, costBudget: { macs: macs / 2, params: '0.9x' } } as const;
    const { model: pruned, solution } = await pruneWithRefill(model, { ...cut, ...refill });
    expect(inspectModel(pruned).macs).toBeLessThanOrEqual(macs / 2);
    expect(solution?.targets.map(({ name }) => name)).toEqual(['MACs', 'parameters']);
  });

  const target = { name: 'mine', limit: 3, cost: () => 1 };
  it.each([
    ['nothing in it', {}, 'costBudget: got options without `targets`'],
    ['no targets', { targets: [] }, 'costBudget: got no targets, expected at least one'],
    ['an unknown option', { targets: [target], parts: 2 }, 'got the option `parts`'],
    ['amounts beside targets', { macs: 5, targets: [target] }, 'got the option `targets`'],
    ['no cost', { targets: [{ name: 'x', limit: 3 }] }, 'targets[0] (x): got the cost undefined'],
    ['a cost of NaN', { targets: [{ ...target, cost: () => NaN }] }, 'got NaN as the cost of'],
    [
      'no limit',
      { targets: [target, { ...target, limit: NaN }] },
      'targets[1] (mine): got the limit NaN',
    ],
    ['an amount that is none', { params: '4M' }, "budget: parameters: got '4M'"],
  ])('is refused with %s', async (_, costBudget, words) => {
    const attempt = pruneOneShot(model, { ...cut, costBudget: wrong(costBudget) });
    await expect(attempt).rejects.toThrow(UsageError);
    await expect(pruneOneShot(model, { ...cut, costBudget: wrong(costBudget) })).rejects.toThrow(
      words,
    );
  });
});

describe('functions of a program', () => {
  it('that measure have to give numbers', async () => {
    const measure = (evaluate: unknown) =>
      measureSensitivity(model, { importance: 'l2', rates: [0.5], evaluate: wrong(evaluate) });
    await expect(measure(() => undefined)).rejects.toThrow(
      '`evaluate` gave undefined (evaluateModel gives that where its signal has stopped it)',
    );
    await expect(measure(() => 0.5)).rejects.toThrow('`evaluate` gave 0.5, expected { loss');
    // No assertion: without a signal evaluateModel gives no undefined.
    const measured = await measure((each: typeof model) => evaluateModel(each, dataset));
    const [{ cost, limit } = wrong(undefined)] = budgetTargets(model, { macs: '0.6x' });
    const { rates, cost: left } = ratesFromSensitivity(measured, {
      metric: 'macs',
      most: limit,
      costOf: cost,
    });
    expect(left).toBeLessThanOrEqual(limit);
    const one = await pruneOneShot(model, { ...cut, ranking: 'layer', rateOf: rates });
    expect(inspectModel(one.model).macs).toBe(left);
  });

  it.each<[string, unknown, string]>([
    ['no batch', 3, 'calibration: got undefined for images'],
    [
      'labels of another number',
      { images: tensor([[[[1]]]]), labels: tensor([0, 1]) },
      'a tensor [2] for labels',
    ],
    [
      'labels without a dimension',
      { images: tensor([[[[1]]]]), labels: tensor(0) },
      'a tensor [] for labels',
    ],
  ])('that give images are told what is wrong with them: %s', async (_, batch, words) => {
    const calibration = (() => [batch]) as unknown as Calibration;
    const options = { importance: 'taylor', ranking: 'global', rates: { mlp: 0.5 } } as const;
    await expect(pruneOneShot(model, options, calibration)).rejects.toThrow(words);
  });
});

describe('timing', () => {
  it('takes the shape of the images from the model', async () => {
    const few = { batches: [1], rounds: 1, minRoundMs: 0, warmup: 0 };
    const [result] = await benchmarkModels([benchModel('mine', model)], few);
    expect(result).toMatchObject({ model: 'mine', batch: 1 });
    const forward = model.forward.bind(model);
    await expect(benchmarkModels([{ name: 'bare', forward }], few)).rejects.toThrow(
      'bench: bare: got no shape of an input',
    );
    await expect(benchmarkModels([wrong(model)], few)).rejects.toThrow(
      'got a model without a name at 0, expected what benchModel(name, model) gives',
    );
    await expect(benchmarkModels([wrong({ name: 'x' })], few)).rejects.toThrow(
      'the function `forward`',
    );
  });
});

describe('an export', () => {
  it.each([
    ['quantize', 'int4', "quantize: got 'int4', expected one of int8, int8-dynamic"],
    ['dtype', 'bfloat16', "dtype: got 'bfloat16', expected one of float32, float16"],
    ['input', 'uint16', "input: got 'uint16', expected one of uint8"],
    ['scanOp', 'loop', "scanOp: got 'loop', expected one of scan-adaptive"],
  ])('refuses a choice of %s that there is not', async (name, value, words) => {
    const options = wrong({ [name]: value, verify: false });
    await expect(exportOnnx(join(folder, 'x.onnx'), model, info, options)).rejects.toThrow(words);
  });
});

describe('a run of a program', () => {
  registerDataset({
    name: 'library-use',
    description: 'twelve grey images',
    needsFolder: false,
    open: () => ({ info: { ...facts, name: 'library-use' }, train: split, test: split }),
  });
  const recipe = { epochs: 1, batchSize: 6 };
  const train = (name: string, hooks?: unknown) =>
    trainRun(
      { arch: 'mamba_nano', model: sizes, dataset: 'library-use', recipe },
      { out: join(folder, name), hooks: wrong(hooks) },
    );

  it('is pruned by its folder, with the defaults of a cut', async () => {
    const { path } = await train('dense');
    const { record, model: pruned } = await pruneRun(
      {
        model: path,
        method: 'oneshot',
        ranking: 'global',
        rates: { mlp: 0.5 },
        recipe: { epochs: 0 },
      },
      { out: join(folder, 'cut') },
    );
    expect(record).toMatchObject({ normalize: 'mean', roundTo: 1, maxRate: 1 });
    expect(record.source).toBe(join(path, 'model.safetensors'));
    expect(pruned.numParameters()).toBeLessThan(model.numParameters());
    await expect(openModel(path, wrong(null))).rejects.toThrow('openModel: got null in place of');
  });

  it('begins without sizes, and from the folder of another', async () => {
    const settings = {
      arch: 'mamba_nano',
      dataset: 'library-use',
      recipe: { ...recipe, epochs: 1 },
    };
    const { path } = await train('first');
    const { settings: told } = await trainRun(
      { ...settings, model: sizes, init: path },
      { out: join(folder, 'second') },
    );
    expect(told.init).toBe(join(path, 'model.safetensors'));
    const patches = /Choose `patchSize`/;
    // 4 px of mamba_nano do not divide 6: the sizes are those of the architecture.
    await expect(trainRun(settings, { out: join(folder, 'third') })).rejects.toThrow(patches);
  });

  it('calls hooks that give a promise, and waits', async () => {
    const seen: number[] = [];
    const hooks: TrainHooks = {
      onStep: async ({ step }) => {
        await Promise.resolve();
        seen.push(step);
      },
    };
    await train('waits', hooks);
    expect(seen).toEqual([1, 2]);
    const failing = train('fails', { onStep: () => Promise.reject(new Error('of the hook')) });
    await expect(failing).rejects.toThrow('of the hook');
  });

  it.each<[string, unknown, string]>([
    ['a hook that there is not', { onstep: () => 0 }, 'hooks: got the option `onstep`'],
    ['a loss that is a number', { taskLoss: () => 3 }, 'hooks: taskLoss: got 3, expected the loss'],
    ['no loss', { taskLoss: () => undefined }, 'hooks: taskLoss: got undefined'],
    [
      'a loss for each image',
      { taskLoss: ({ logits }: { logits: unknown }) => logits },
      'hooks: taskLoss: got a tensor [6, 3], expected the loss of the batch',
    ],
    [
      'a term that is a number',
      { extraLosses: [{ name: 'mine', compute: () => 1 }] },
      'hooks: extraLosses: mine: got 1',
    ],
  ])('is told what is wrong with its hooks: %s', async (name, hooks, words) => {
    await expect(train(`wrong ${name}`, hooks)).rejects.toThrow(UsageError);
    await expect(train(`wrong again ${name}`, hooks)).rejects.toThrow(words);
  });
});

describe('using', () => {
  it('frees tensors and models at the end of the block', () => {
    let weight;
    let made;
    {
      using layer = new nn.Linear(2, 2);
      using value = tensor([1, 2]);
      ({ weight } = layer);
      made = value;
      expect(made.disposed).toBe(false);
    }
    expect(made.disposed).toBe(true);
    expect(weight.disposed).toBe(true);
  });
});
