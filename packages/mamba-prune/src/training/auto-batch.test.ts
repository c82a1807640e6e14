import { getRngState, type Tensor } from '@mamba-prune/libtorch';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { isOutOfMemory, OutOfMemoryError } from '../memory.js';
import { fitBatchSize } from './auto-batch.js';
import { RunFolder } from './index.js';
import { train } from './trainer.js';
import { temporaryFolder, toyDataset, ToyModel, toyOptions, toyRun } from './testing/toy.js';

/** As libtorch 2.11 words it. */
const message =
  'CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which ' +
  '300.00 MiB is free. Process 1 has 78.00 GiB memory in use.\nException raised from malloc at ...';

/** Has memory for so many images. */
class SmallMemory extends ToyModel {
  readonly sizes: number[] = [];

  constructor(readonly room: number) {
    super();
  }

  override forward(images: Tensor): Tensor {
    this.sizes.push(images.size(0));
    if (images.size(0) > this.room) throw new Error(message);
    return super.forward(images);
  }
}

const folders: ReturnType<typeof temporaryFolder>[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) folder.remove();
});

function newRun(): RunFolder {
  const folder = temporaryFolder();
  folders.push(folder);
  return RunFolder.create(join(folder.path, 'run'), toyRun);
}

describe('fitBatchSize', () => {
  const options = { ...toyOptions, batchSize: 64, lr: 0.008 };

  it('halves the batch size until a step fits, and the learning rate with it', () => {
    const notes: string[] = [];
    const model = new SmallMemory(20);
    const found = fitBatchSize(model, toyDataset(), options, {
      onNote: (note) => notes.push(note),
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

describe('a training without memory for its batches', () => {
  it('ends with an error that says how many images, where, and what to do', async () => {
    const run = newRun();
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
        '300.00 MiB free). Give fewer images per step (--batch-size 8), let the size be found (--auto-batch), or ' +
        'see that nobody else uses the device.',
    });
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
