import { getRngState, type Tensor, tensor } from '@mamba-prune/libtorch';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isOutOfMemory, OutOfMemoryError } from '../memory.js';
import { fitBatchSize } from './auto-batch.js';
import { RunFolder, type TrainHooks } from './index.js';
import { train } from './trainer.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { toyDataset, ToyModel, toyOptions, toyRun } from './testing/toy.js';

/** As libtorch 2.11 words it. */
const message =
  'CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which ' +
  '300.00 MiB is free. Process 1 has 78.00 GiB memory in use.\nException raised from malloc at ...';

/** Has memory for so many images. */
class SmallMemory extends ToyModel {
  readonly sizes: number[] = [];

  readonly room: number;

  constructor(room: number) {
    super();
    this.room = room;
  }

  override forward(images: Tensor): Tensor {
    this.sizes.push(images.size(0));
    if (images.size(0) > this.room) throw new Error(message);
    return super.forward(images);
  }
}

const folder = eachTestsFolder();

describe('fitBatchSize', () => {
  const options = { ...toyOptions, batchSize: 64, lr: 0.008 };

  it('halves the batch size until a step fits, and the learning rate with it', () => {
    const notes: string[] = [];
    const model = new SmallMemory(20);
    const found = fitBatchSize(model, toyDataset(), options, {
      hooks: { onNote: (note) => notes.push(note) },
    });
    expect(found).toEqual({ batchSize: 16, lr: 0.002 });
    expect(model.sizes).toEqual([64, 32, 16, 16]);
    expect(notes).toEqual([
      'Batches of 64 images do not fit into the memory of cpu: training with 16, and with a learning rate ' +
        'of 0.002 in place of 0.008, in proportion, over the same epochs.',
    ]);
  });

  it('tries a share of the batch where there are several workers, and takes what fits all of them', () => {
    const model = new SmallMemory(20);
    const given = { workers: 3, agree: (size: number) => Math.min(size, 16) };
    const found = fitBatchSize(model, toyDataset(), options, given);
    expect(model.sizes).toEqual([22, 11, 11]);
    expect(found).toEqual({ batchSize: 16, lr: 0.002 });
    const none = () => fitBatchSize(new SmallMemory(0), toyDataset(), options, { workers: 3 });
    expect(none).toThrow(OutOfMemoryError);
  });

  it('changes nothing where the step fits, and leaves model and random numbers as they were', () => {
    const model = new SmallMemory(64);
    const facts = () => ({
      values: Array.from(model.stateDict().values(), (value) => value.toNumbers()),
      gradients: model.parameters().map(({ grad }) => grad),
      random: getRngState(),
      training: model.training,
    });
    model.eval();
    const before = facts();
    expect(fitBatchSize(model, toyDataset(), options)).toBeUndefined();
    expect(model.sizes).toEqual([64, 64]);
    expect(facts()).toEqual(before);
  });

  it('tries no more images than there are to train on', () => {
    const model = new SmallMemory(10);
    expect(fitBatchSize(model, toyDataset(40), options)).toMatchObject({ batchSize: 10 });
    expect(model.sizes).toEqual([40, 20, 10, 10]);
  });

  it('throws where one image does not fit, and passes other errors on', () => {
    expect(() => fitBatchSize(new SmallMemory(0), toyDataset(), options)).toThrow(
      'auto-batch: the memory of cpu does not suffice for 1 image at a time ' +
        '(asked for 2.00 GiB, 79.11 GiB in all, 300.00 MiB free). Train a smaller model',
    );
    const attempt = () => {
      throw new Error('something else');
    };
    expect(() => fitBatchSize(new ToyModel(), toyDataset(), options, { attempt })).toThrow(
      'something else',
    );
  });
});

describe('the steps that are tried', () => {
  const options = { ...toyOptions, batchSize: 64, lr: 0.008 };
  const weightsOf = (model: ToyModel) =>
    Array.from(model.stateDict().values(), (value) => value.toNumbers());

  it('have the teacher, who may be what there is no memory for', () => {
    const teacher = new SmallMemory(20);
    const hooks = { distillation: { teacher, weight: 0.5 } };
    const found = fitBatchSize(new ToyModel(), toyDataset(), options, { hooks });
    expect(found).toEqual({ batchSize: 16, lr: 0.002 });
    // One image to see whether it fits at all.
    expect(teacher.sizes).toEqual([1, 64, 32, 16, 16]);
    const stranger = { distillation: { teacher: new ToyModel(5, 16, 4), weight: 0.5 } };
    expect(() => fitBatchSize(new ToyModel(), toyDataset(), options, { hooks: stranger })).toThrow(
      'the teacher gives logits of shape [1, 4] for one image, expected [1, 3]',
    );
  });

  it('have the hooks of the training, clipped gradients and soft targets, at its beginning and at its end', () => {
    const model = new ToyModel();
    const before = weightsOf(model);
    const places: unknown[] = [];
    const norms: number[] = [];
    const kinds: string[] = [];
    const hooks: TrainHooks = {
      extraLosses: [
        {
          name: 'pull',
          compute: ({ images, targets, epoch, step, totalSteps, progress, lr }) => {
            if (images.size(0) > 30) throw new Error(message);
            places.push({ epoch, step, totalSteps, progress, lr });
            kinds.push(targets?.shape.join('x') ?? 'none');
            return tensor(0.5);
          },
          addGradient: () => {
            const grads = model.parameters().map(({ grad }) => (grad as Tensor).norm().item());
            norms.push(Math.hypot(...grads));
          },
        },
      ],
      afterStep: () => {
        for (const parameter of model.parameters()) parameter.zero_();
        kinds.push('after');
      },
    };
    const clipped = { ...options, clipGradNorm: 0.001 };
    const found = fitBatchSize(model, toyDataset(), clipped, { hooks });
    expect(found).toEqual({ batchSize: 16, lr: 0.002 });
    // 7 steps of 16 images in each of 4 epochs.
    expect(places).toEqual([
      { epoch: 0, step: 0, totalSteps: 28, progress: 0, lr: 0.008 },
      { epoch: 3, step: 27, totalSteps: 28, progress: 27 / 7, lr: 0.008 },
    ]);
    expect(kinds).toEqual(['16x3', 'after', '16x3', 'after']);
    // Divided by the norm before, of about 1, to which 1e-6 is added; in float32, with an error of 1e-7 each.
    for (const norm of norms) expect(Math.abs(norm / 0.001 - 1)).toBeLessThan(1e-5);
    expect(norms).toHaveLength(2);
    expect(weightsOf(model)).toEqual(before);
  });

  it('may end in numbers that are not finite', () => {
    const taskLoss: TrainHooks['taskLoss'] = ({ logits }) => logits.sum().mul(Infinity);
    const model = new ToyModel();
    const before = weightsOf(model);
    expect(fitBatchSize(model, toyDataset(), options, { hooks: { taskLoss } })).toBeUndefined();
    expect(weightsOf(model)).toEqual(before);
  });

  it('refuse an option that there is not', () => {
    const teacher = { teacher: new ToyModel() } as object;
    expect(() => fitBatchSize(new ToyModel(), toyDataset(), options, teacher)).toThrow(
      'fitBatchSize: got the option `teacher`, expected some of `hooks`, `workers`, `agree`, `attempt`.',
    );
  });
});

describe('a training without memory for its batches', () => {
  it('ends with an error that says how many images, where, and what to do', async () => {
    const run = RunFolder.create(join(folder.path, 'run'), toyRun);
    const error = await train(new SmallMemory(8), toyDataset(), toyOptions, run).catch(
      (reason: unknown) => reason,
    );
    run.release();
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({
      batchSize: 16,
      device: 'cpu',
      message:
        'train: the memory of cpu does not suffice for 16 images at a time (asked for 2.00 GiB, 79.11 GiB in all, ' +
        '300.00 MiB free). Give fewer images per step (`batchSize` 8), let the size be found (`autoBatch`), or ' +
        'see that nobody else uses the device.',
    });
  });

  it('advises no other batch size to a run that was begun with this one', async () => {
    const path = join(folder.path, 'begun');
    const stop = new AbortController();
    const first = RunFolder.create(path, toyRun);
    const hooks = {
      onEpoch: () => {
        stop.abort();
      },
    };
    await train(new ToyModel(), toyDataset(), toyOptions, first, hooks, { signal: stop.signal });
    first.release();
    const run = RunFolder.open(path, { write: true });
    const small = new SmallMemory(8);
    const failing = train(small, toyDataset(), toyOptions, run, {}, { resume: true });
    const { message: said } = (await failing.catch((reason: unknown) => reason as Error)) as Error;
    run.release();
    expect(said).toContain(
      'A run that has begun keeps its batch size. See that nobody else uses the device, or use one with more memory, and ' +
        'go on (`resume`). Otherwise begin a new run with fewer images per step (`batchSize` 8).',
    );
    expect(said).not.toContain('autoBatch');
  });

  it('advises none either to a run that was stopped before it trained', async () => {
    const path = join(folder.path, 'waiting');
    RunFolder.create(path, toyRun).release();
    const run = RunFolder.open(path, { write: true });
    const failing = train(new SmallMemory(8), toyDataset(), toyOptions, run);
    await expect(failing).rejects.toThrow('A run that has begun keeps its batch size.');
    run.release();
  });
});

describe('isOutOfMemory', () => {
  it.each([
    ['CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 15.78 GiB total capacity; ...', true],
    ['CUDA error: out of memory', true],
    ['CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`', true],
    [
      "[enforce fail at alloc_cpu.cpp:66] . DefaultCPUAllocator: can't allocate memory: you tried ...",
      true,
    ],
    ['CUDA error: an illegal memory access was encountered', false],
  ])('%s: %s', (text, expected) => {
    expect(isOutOfMemory(new Error(text))).toBe(expected);
  });
});
