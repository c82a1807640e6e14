// onnxruntime-node, loaded only when an ONNX model is to run: most users never need its 290 MB.
import { FormatError, getNumThreads } from '@mamba-prune/libtorch';
import type { InferenceSession } from 'onnxruntime-common';
import { UsageError } from '../errors.js';

// The types come from the small package behind it, so that ours compile where the large one is not installed.
type Runtime = typeof import('onnxruntime-common');

const runtimePackage = 'onnxruntime-node';

let loaded: Promise<Runtime> | undefined;

/** @throws UsageError saying how to install it */
export function loadRuntime(): Promise<Runtime> {
  loaded ??= import('onnxruntime-node').catch((error: unknown) => {
    loaded = undefined;
    throw new UsageError(
      `ONNX: cannot load ${runtimePackage}, which runs ONNX models: ${(error as Error).message.split('\n')[0] ?? ''}. ` +
        `Install it without its CUDA download: ONNXRUNTIME_NODE_INSTALL=skip npm install ${runtimePackage}`,
      { cause: error },
    );
  });
  return loaded;
}

export type Provider = 'cpu' | 'webgpu';

export interface SessionOptions {
  /** What computes. Default `cpu`. */
  readonly provider?: Provider;
  /** By default libtorch's number. */
  readonly threads?: number;
}

/**
 * @param bytes - a model file
 * @throws FormatError with the runtime's reason if it takes no such model
 */
export async function createSession(
  bytes: Uint8Array,
  { provider = 'cpu', threads = getNumThreads() }: SessionOptions = {},
  where = 'ONNX',
): Promise<InferenceSession> {
  const runtime = await loadRuntime();
  try {
    return await runtime.InferenceSession.create(bytes, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3, // Errors only: it warns of its own optimisations.
    });
  } catch (error) {
    throw new FormatError(`${where}: onnxruntime cannot run it: ${(error as Error).message}`);
  }
}
