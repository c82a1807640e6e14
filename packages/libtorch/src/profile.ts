// Where the time of some calls goes, operator by operator.
import { native } from './native.js';
import { refusePromise } from './synchronous.js';

/** What one operator took, or one stage within the operators of whole blocks. */
export interface OperatorTime {
  /**
   * `aten::add`, `mamba_prune::selective_scan`; a node of autograd, which has what libtorch does around the operators
   * of a backward pass (`AddBackward0`); or a stage of a block, without `::` (`scan`).
   */
  readonly name: string;
  readonly calls: number;
  /** Milliseconds, without those of the operators and stages that it called. */
  readonly ms: number;
}

export interface OperatorProfile {
  /** Milliseconds from the beginning to the end. */
  readonly ms: number;
  /** The longest first. Together they take `ms`, but for what is outside of all operators: JavaScript, and autograd's own work. */
  readonly operators: readonly OperatorTime[];
}

/**
 * Times every operator that `work` calls in this thread, by libtorch's own record of them. Calls take some microseconds
 * longer meanwhile. On a GPU these are the times that the host takes to launch kernels.
 *
 * @throws Error if a profile is being taken already: within `work`, say
 * @throws TypeError if `work` is asynchronous: what it does later would not be in the profile
 */
export function profileOperators(work: () => void): OperatorProfile {
  // An asynchronous function is one that returns nothing, to the compiler.
  const run: () => unknown = work;
  native.profileStart();
  let raw: (string | number)[];
  let ms: number;
  const began = performance.now();
  try {
    refusePromise('profileOperators', run());
  } finally {
    ms = performance.now() - began;
    raw = native.profileStop();
  }
  const found = new Map<string, { calls: number; ms: number }>();
  for (let at = 0; at < raw.length; at += 3) {
    const [name, calls, took] = raw.slice(at, at + 3) as [string, number, number];
    const key = readable(name);
    const sum = found.get(key) ?? { calls: 0, ms: 0 };
    // What the engine does around a node is the node's, and no call of its own.
    const counted = name.startsWith(aroundNode) ? 0 : calls;
    found.set(key, { calls: sum.calls + counted, ms: sum.ms + took });
  }
  const operators = [...found].map(([name, sum]) => ({ name, ...sum }));
  return { ms, operators: operators.sort((a, b) => b.ms - a.ms) };
}

const aroundNode = 'autograd::engine::evaluate_function: ';

/**
 * Nodes of our own operators have the names of C++ classes, such as
 * `torch::autograd::CppNode<mamba_prune::linear_op::(anonymous namespace)::Linear>`.
 */
function readable(name: string): string {
  const ours = name.includes('CppNode<') ? /mamba_prune::(\w+)_op::/g : undefined;
  const found = ours && [...name.matchAll(ours)].at(-1)?.[1];
  return found
    ? `mamba_prune::${found} (backward)`
    : name.replace(aroundNode, '').replace(/^torch::autograd::/, '');
}
