// Runs a kernel and its plain loop on the same values, and compares outputs and gradients.
import {
  type DType,
  type Tensor,
  fromTypedArray,
  getNumThreads,
  grad,
  manualSeed,
  noGrad,
  randn,
  scope,
  setNumThreads,
  stack,
  zeros,
} from '../../index.js';
import {
  type KernelCase,
  type Layout,
  allCases,
  convCase,
  geluCase,
  rmsCase,
  scanCase,
} from './kernel-cases.js';
import type { Arguments } from './plain-kernels.js';

/** A leaf that holds the values, and the view of it that is the argument. */
function stored(values: Tensor, layout: Layout): Tensor {
  if (layout === 'contiguous') return values;
  if (layout === 'interleaved') return stack([values, values.add(1)], -1);
  const rows = zeros([...values.shape.slice(0, -1), values.size(-1) + 3], { dtype: values.dtype });
  viewed(rows, layout).copy_(values);
  return rows;
}
function viewed(leaf: Tensor, layout: Layout): Tensor {
  if (layout === 'contiguous') return leaf;
  if (layout === 'interleaved') return leaf.select(-1, 0);
  return leaf.narrow(-1, 2, leaf.size(-1) - 3);
}

/** A gradient as an operator gets it from whatever uses its output. */
function incoming(like: Tensor, layout: Layout): Tensor {
  if (layout === 'interleaved') {
    return fromTypedArray(Float64Array.of(0.7), []).expand(...like.shape);
  }
  return viewed(stored(randn(like.shape, { dtype: 'float64' }), layout), layout);
}

function mapped(of: Arguments, change: (tensor: Tensor, name: string) => Tensor): Arguments {
  return Object.fromEntries(Object.entries(of).map(([name, t]) => [name, change(t, name)]));
}

function leaves(of: Arguments): Arguments {
  return mapped(of, (tensor) => {
    const leaf = tensor.detach().clone();
    leaf.requiresGrad = true;
    return leaf;
  });
}

/** Outputs and the gradient of every argument, by name. */
function everything(
  made: Arguments,
  compute: (of: Arguments) => Tensor[],
  { layout, used }: Pick<KernelCase, 'layout' | 'used'>,
  gradOutputs: readonly Tensor[],
): [string, Tensor][] {
  const outputs = compute(mapped(made, (leaf) => viewed(leaf, layout)));
  const names = Object.keys(made);
  const gradients = grad(
    used.map((i) => outputs[i] as Tensor),
    Object.values(made),
    { gradOutputs },
  );
  return [
    ...outputs.map((tensor, i): [string, Tensor] => [`output ${i}`, tensor.detach()]),
    ...gradients.map((tensor, i): [string, Tensor] => {
      const leaf = Object.values(made)[i] as Tensor;
      const gradient = tensor ?? zeros(leaf.shape, { dtype: leaf.dtype });
      return [`gradient of ${names[i]}`, gradient];
    }),
  ];
}

export interface Worst {
  readonly error: number;
  /** The case and what of it. */
  readonly at: string;
}

/** Largest |a - b| as a part of the largest |b|; 1 and more is nonsense, as are NaN and infinity. */
function relative(a: Tensor, b: Tensor): number {
  const scale = b.abs().max().item();
  const error = a.to('float64').sub(b).abs().max().item() / (scale === 0 ? 1 : scale);
  return Number.isFinite(error) ? error : Infinity;
}

/** The kernel in `dtype` against the plain loop in float64, both on the same (rounded) values. */
export function compare(test: KernelCase, dtype: DType): Worst {
  return scope(() => {
    const values = test.inputs();
    const rounded = mapped(values, (t) => stored(t.to(dtype), test.layout));
    const exact = leaves(mapped(rounded, (t) => t.to('float64')));
    const shapes = noGrad(() => test.plain(mapped(exact, (leaf) => viewed(leaf, test.layout))));
    const arriving = test.used.map((i) => incoming(shapes[i] as Tensor, test.layout).to(dtype));
    const got = everything(leaves(rounded), test.kernel, test, arriving);
    const wide = arriving.map((t) => t.to('float64'));
    const expected = everything(exact, test.plain, test, wide);
    let worst: Worst = { error: -1, at: '' };
    got.forEach(([name, tensor], i) => {
      const [, reference] = expected[i] as [string, Tensor];
      const error = tensor.dtype === dtype ? relative(tensor, reference) : Infinity;
      if (error > worst.error) worst = { error, at: `${test.name}: ${name}` };
    });
    return worst;
  });
}

/** The worst of all cases of one operator (the first word of its name). */
export function worstOf(operator: string, dtype: DType): Worst {
  manualSeed(11);
  const cases = allCases().filter((test) => test.name.startsWith(operator));
  return cases
    .map((test) => compare(test, dtype))
    .reduce((a, b) => (b.error > a.error ? b : a), { error: -1, at: 'no case' });
}

/** What of the kernels' results is not bit for bit the same with 1 and 2 threads. */
export function threadDifferences(dtype: DType): string[] {
  const before = getNumThreads();
  // Large enough to be shared.
  const shape = { batch: 3, length: 70, channels: 77, states: 16 };
  const cases = [
    scanCase(shape, 31, 'narrowed', [0, 1]),
    convCase([3, 300, 77, 4], { bias: true, silu: true }, 'narrowed'),
    geluCase([1000, 77], 'narrowed'),
    rmsCase([1000, 77], 'narrowed'),
  ];
  try {
    return cases.flatMap((test) =>
      scope(() => {
        const rounded = mapped(test.inputs(), (t) => stored(t.to(dtype), test.layout));
        const outputs = noGrad(() => test.kernel(mapped(rounded, (t) => viewed(t, test.layout))));
        const arriving = test.used.map((i) =>
          incoming(outputs[i] as Tensor, test.layout).to(dtype),
        );
        const [one, two] = [1, 2].map((threads) => {
          setNumThreads(threads);
          return everything(leaves(rounded), test.kernel, test, arriving);
        });
        return (one ?? []).flatMap(([name, tensor], i) =>
          tensor.equal((two?.[i] as [string, Tensor])[1]) ? [] : [`${test.name}: ${name}`],
        );
      }),
    );
  } finally {
    setNumThreads(before);
  }
}
