// Number formats of weights in files. Models compute in float32; their files may hold 16 bits for each weight.
import { type Tensor, elementSize, noGrad, scope } from '@mamba-prune/libtorch';
import { SafetensorsFile, dtypeFromFile } from '@mamba-prune/libtorch/files';
import { UsageError } from '../errors.js';
import { notFinite, notFiniteText } from './finite.js';

export const storedDtypes = ['float32', 'float16', 'bfloat16'] as const;
export type StoredDtype = (typeof storedDtypes)[number];

/**
 * Runs `body` with the tensors of a model as a file is to hold them. Matrices and filters (`weight` of two dimensions and
 * more) are rounded to `dtype`. All else stays as it is: biases, norms, embeddings of positions and, of a Mamba, `A_log`
 * and `D` are a few percent of the values, and an error in `A_log` grows with every step of a scan.
 *
 * @throws UsageError naming the first weight that is too large for the format
 */
export function withStoredWeights(
  where: string,
  stateDict: ReadonlyMap<string, Tensor>,
  dtype: StoredDtype,
  body: (stored: ReadonlyMap<string, Tensor>) => void,
): void {
  if (dtype === 'float32') {
    body(stateDict);
    return;
  }
  scope(() => {
    const stored = new Map(
      Array.from(stateDict, ([name, tensor]) => [
        name,
        isMatrix(name, tensor) ? noGrad(() => tensor.detach().to(dtype)) : tensor,
      ]),
    );
    const tooLarge = notFinite(stored);
    if (tooLarge.length > 0) {
      throw new UsageError(
        `${where}: got weights that are NaN, infinite or too large for ${dtype}: ${notFiniteText(tooLarge)}, expected ` +
          'numbers that it can hold. Take float32, or bfloat16, which holds all sizes of float32.',
      );
    }
    // The larger elements first, so that other programs find each at a multiple of its size.
    body(new Map([...stored].sort(([, a], [, b]) => elementSize(b.dtype) - elementSize(a.dtype))));
  });
}

/**
 * The format of 16 bits that holds every matrix and filter of a model exactly, as one does where the file had 16 bits and
 * nothing has changed the weights since; else `float32`.
 */
export const losslessDtype = (stateDict: ReadonlyMap<string, Tensor>): StoredDtype => {
  const matrices = [...stateDict].filter(([name, tensor]) => isMatrix(name, tensor));
  const holds = (dtype: StoredDtype): boolean =>
    matrices.every(([, tensor]) =>
      scope(() => noGrad(() => tensor.to(dtype).to(tensor.dtype).equal(tensor))),
    );
  return (['bfloat16', 'float16'] as const).find(holds) ?? 'float32';
};

/** `float32`, or what a file in fewer bits has in which. */
export const storedText = (dtype: StoredDtype): string =>
  dtype === 'float32' ? dtype : `matrices in ${dtype}, all else in float32`;

const isMatrix = (name: string, { shape, isFloat }: Tensor): boolean =>
  isFloat && shape.length > 1 && (name === 'weight' || name.endsWith('.weight'));

/**
 * How many values a safetensors file holds in each floating-point format, the most first; undefined where all of them
 * are float32, and of other files.
 */
export function storedFormats(path: string): Readonly<Record<string, number>> | undefined {
  let file: SafetensorsFile;
  try {
    file = SafetensorsFile.open(path);
  } catch {
    return undefined; // Another program's format, which holds what it holds.
  }
  try {
    const counts = new Map<string, number>();
    for (const name of file.names()) {
      const { dtype, shape } = file.info(name);
      const format = dtypeFromFile[dtype];
      if (!format.includes('float')) continue;
      const values = shape.reduce((product, length) => product * length, 1);
      counts.set(format, (counts.get(format) ?? 0) + values);
    }
    if ([...counts.keys()].every((format) => format === 'float32')) return undefined;
    return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
  } finally {
    file.close();
  }
}
