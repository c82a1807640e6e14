// A device as functions of the library are told it. The command line has found its own before.
import { cudaDeviceCount } from '@mamba-prune/libtorch';
import { shown } from './checks.js';
import { UsageError } from './errors.js';

/**
 * @param where - the function, with which messages begin
 * @param device - undefined where none was given
 * @throws UsageError for anything but `cpu`, `cuda` and `cuda:N`, and for a GPU that is not there
 */
export function requireDevice(where: string, device: unknown): void {
  if (device === undefined || device === 'cpu') return;
  const match = typeof device === 'string' ? /^cuda(?::(\d+))?$/.exec(device) : null;
  if (!match) {
    throw new UsageError(
      `${where}: device: got ${shown(device)}, expected cpu, cuda or cuda:N, the number of a GPU.`,
    );
  }
  const count = cudaDeviceCount();
  if (Number(match[1] ?? 0) < count) return;
  throw new UsageError(
    count === 0
      ? `${where}: device: got ${match[0]}, but the libtorch in use sees no GPU. Use cpu, or point LIBTORCH to one with CUDA.`
      : `${where}: device: got ${match[0]}, expected cuda:0${count > 1 ? ` to cuda:${count - 1}` : ''}.`,
  );
}
