import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PrivateFile } from './files/private-file.js';
import {
  DerivedWeights,
  FiledWeights,
  LentWeights,
  type Tensor,
  memoryStats,
  noGrad,
  randn,
  scope,
} from './index.js';
import { packWeights, unpackMatrix } from './kernels/index.js';

const folder = mkdtempSync(join(tmpdir(), 'filed-weights-'));
beforeEach(() => {
  vi.stubEnv('TMPDIR', folder);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  expect(readdirSync(folder), 'a name of the file').toEqual([]);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const bitsOf = (tensor: Tensor): Buffer => Buffer.from(tensor.toTypedArray().buffer);
const bytesOf = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, { numel }) => sum + 4 * numel, 0);

/** A form that has fewer bits than its sources, and how often it was made. */
function halves(sources: readonly Tensor[]) {
  const counted = { made: 0, derived: undefined as unknown as DerivedWeights };
  counted.derived = new DerivedWeights(sources, () => {
    counted.made++;
    return sources.map((source) => source.to('bfloat16'));
  });
  return counted;
}

describe('FiledWeights', () => {
  it('take no memory, and come back bit for bit, with the same shape, type and need of gradients', () => {
    scope(() => {
      const shapes = [
        [13, 7], // less than is read at a time
        [1024, 257], // and a bit more
        [3, 512, 1024],
      ];
      const sources = shapes.map((shape) => randn(shape));
      for (const source of sources) source.requiresGrad = true;
      scope(() => void noGrad(() => sources[1]?.select(0, 3).fill_(NaN)));
      scope(() => void noGrad(() => sources[2]?.select(0, 0).fill_(-0)));
      const expected = sources.map(bitsOf);
      const before = memoryStats();
      const filed = new FiledWeights();
      filed.putAway(sources);
      const { tensors, bytes } = memoryStats();
      expect([before.tensors - tensors, before.bytes - bytes]).toEqual([3, bytesOf(sources)]);
      expect(sources.map(({ shape }) => shape)).toEqual(shapes);
      expect(sources.every(({ isLent, requiresGrad }) => isLent && requiresGrad)).toBe(true);
      sources.forEach((source, i) => {
        expect(bitsOf(source).equals(expected[i] as Buffer)).toBe(true);
        expect([source.isLent, source.isLeaf, source.requiresGrad]).toEqual([false, true, true]);
      });
      expect(memoryStats()).toEqual(before);
      filed.release();
    });
  });

  it('leave forms as they are until a value changes, which is written then', () => {
    scope(() => {
      const write = vi.spyOn(PrivateFile.prototype, 'write');
      const sources = [randn([8, 4]), randn([8, 4])] as const;
      const counted = halves(sources);
      const filed = new FiledWeights();
      const use = (): number => {
        const [form] = counted.derived.get();
        filed.putAway(sources);
        return form?.select(0, 0).select(0, 0).item() ?? NaN;
      };
      use();
      use();
      sources[0].toNumbers();
      use();
      expect(sources.map(({ isLent }) => isLent)).toEqual([true, true]);
      expect([counted.made, write.mock.calls.length]).toEqual([1, 2]);
      noGrad(() => sources[0].fill_(3));
      expect(use()).toBe(3);
      expect([counted.made, write.mock.calls.length]).toEqual([2, 3]);
      expect(sources[0].toNumbers()).toEqual(Array(32).fill(3));
      filed.release();
    });
  });

  it('give their tensors to a form that has all values, and take them back when it ends', () => {
    scope(() => {
      const write = vi.spyOn(PrivateFile.prototype, 'write');
      const source = randn([64, 24]);
      const expected = bitsOf(source);
      const counted = halves([source]);
      const panels = new LentWeights([source], {
        make: (matrix) => packWeights(matrix.unsqueeze(0)),
        restore: (packed, [columns = 0]) => unpackMatrix(packed, columns),
      });
      const filed = new FiledWeights();
      for (let i = 0; i < 3; i++) {
        counted.derived.get();
        filed.putAway([source], { atOnce: true });
        panels.get();
        expect(source.isLent).toBe(true);
        panels.release();
      }
      filed.putAway([source], { atOnce: true });
      panels.release();
      expect(source.isLent).toBe(true);
      expect([counted.made, write.mock.calls.length]).toEqual([1, 1]);
      filed.release();
      expect(source.isLent).toBe(false);
      expect(bitsOf(source).equals(expected)).toBe(true);
    });
  });

  it('leave a tensor where it is whose memory somebody else has', () => {
    scope(() => {
      const source = randn([8, 4]);
      const view = source.detach().view(-1);
      const filed = new FiledWeights();
      filed.putAway([source]);
      expect(source.isLent).toBe(false);
      noGrad(() => view.fill_(5));
      expect(source.toNumbers()).toEqual(Array(32).fill(5));
      filed.release();
    });
  });

  it.each<[string, () => void]>([
    ['no folder can be written', () => vi.stubEnv('TMPDIR', join(folder, 'none'))],
    [
      'the disk is full',
      () => {
        vi.spyOn(PrivateFile.prototype, 'write').mockImplementation(() => {
          throw Object.assign(new Error('ENOSPC: no space left on device, write'), {
            code: 'ENOSPC',
          });
        });
      },
    ],
  ])('leave everything in memory where %s', (_what, arrange) => {
    scope(() => {
      arrange();
      const sources = [randn([8, 4]), randn([8, 4])];
      const expected = sources.map(bitsOf);
      const filed = new FiledWeights();
      for (let i = 0; i < 2; i++) filed.putAway(sources);
      expect(sources.map(({ isLent }) => isLent)).toEqual([false, false]);
      expect(sources.map(bitsOf)).toEqual(expected);
      filed.release();
    });
  });

  const shared = '/dev/shm';
  const tmpfs = 0x01021994;
  const isTmpfs =
    process.platform === 'linux' &&
    (() => {
      try {
        return statfsSync(shared).type === tmpfs;
      } catch {
        return false;
      }
    })();
  it.skipIf(!isTmpfs)('are in memory where the folder is memory itself', () => {
    expect(PrivateFile.create({ TMPDIR: shared })).toBeUndefined();
  });

  it('say so where a disk gives other bytes than it was given, and give none of them', () => {
    scope(() => {
      const source = randn([8, 4]);
      const filed = new FiledWeights();
      filed.putAway([source]);
      const damaged = vi
        .spyOn(PrivateFile.prototype, 'read')
        .mockImplementation((_position, length, into) => into.subarray(0, length).fill(1));
      expect(() => source.toNumbers()).toThrow(/came back with other bytes .* The disk is damaged/);
      expect(source.isLent).toBe(true);
      damaged.mockRestore();
      expect(source.toNumbers()).toHaveLength(32);
      filed.release();
    });
  });

  it('end with their tensors', () => {
    const close = vi.spyOn(PrivateFile.prototype, 'close');
    const before = memoryStats();
    const source = randn([8, 4]);
    const filed = new FiledWeights();
    filed.putAway([source]);
    source.dispose();
    filed.release();
    filed.release();
    expect(close).toHaveBeenCalledTimes(1);
    expect(memoryStats()).toEqual(before);
  });
});
