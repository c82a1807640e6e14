// Gradients: switching their recording off and on, and asking for them.
import { checkOptions } from './check-options.js';
import { TorchError } from './errors.js';
import { native } from './native.js';
import { refusePromise } from './synchronous.js';
import { Tensor } from './tensor.js';

function withGradMode<T>(on: boolean, body: () => T): T {
  const before = native.setGradMode(on);
  try {
    const result = body();
    refusePromise(on ? 'enableGrad' : 'noGrad', result);
    return result;
  } finally {
    native.setGradMode(before);
  }
}

/** Runs `body` without recording operations for gradients. */
export function noGrad<T>(body: () => T): T {
  return withGradMode(false, body);
}

/** Runs `body` with recording on, inside a `noGrad` say. */
export function enableGrad<T>(body: () => T): T {
  return withGradMode(true, body);
}

export function isGradEnabled(): boolean {
  return native.setGradMode();
}

export interface GradOptions {
  /** Gradients of the outputs; ones for scalar outputs by default. */
  readonly gradOutputs?: readonly Tensor[];
  /** Keep the graph, to differentiate it again. */
  readonly retainGraph?: boolean;
  /** Record the gradients themselves, for second derivatives. */
  readonly createGraph?: boolean;
}

/**
 * Gradients of the outputs' sum by each input, leaving every `.grad` alone.
 *
 * @returns one gradient per input, shaped like it; null for an input that the outputs do not use
 * @throws TorchError if an output or input does not require grad
 */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  checkOptions('grad', options, {
    gradOutputs: 'array',
    retainGraph: 'boolean',
    createGraph: 'boolean',
  });
  const { gradOutputs, retainGraph = false, createGraph = false } = options;
  try {
    return native
      .gradients(
        outputs.map((tensor) => tensor.handle),
        inputs.map((tensor) => tensor.handle),
        gradOutputs?.map((tensor) => tensor.handle) ?? null,
        retainGraph || createGraph,
        createGraph,
        true,
      )
      .map((handle) => (handle === null ? null : Tensor.wrap(handle)));
  } catch (error) {
    throw new TorchError('grad', (error as Error).message);
  }
}
