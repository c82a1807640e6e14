// What our kernels compute, as plain loops of tensor operations: slow, and differentiated by libtorch.
import { F, type Tensor, ops, stack, zeros } from '../../index.js';

/** Arguments by name; an optional one may be missing. */
export type Arguments = Readonly<Record<string, Tensor>>;

export function given(of: Arguments, name: string): Tensor {
  const tensor = of[name];
  if (tensor === undefined) throw new Error(`no argument '${name}'`);
  return tensor;
}

/** @returns y and the last state */
export function plainScan(of: Arguments, softplus: boolean): [Tensor, Tensor] {
  const [u, A, B, C] = [given(of, 'u'), given(of, 'A'), given(of, 'B'), given(of, 'C')];
  const [batch, length, channels] = [u.size(0), u.size(1), u.size(2)];
  let dt = given(of, 'delta');
  if (of.deltaBias) dt = dt.add(of.deltaBias);
  if (softplus) dt = F.softplus(dt);
  let h = of.initialState ?? zeros([batch, channels, A.size(1)], { dtype: u.dtype });
  const steps = Array.from({ length }, (_, t) => {
    const d = dt.select(1, t).unsqueeze(-1);
    const input = d.mul(B.select(1, t).unsqueeze(1)).mul(u.select(1, t).unsqueeze(-1));
    h = d.mul(A).exp().mul(h).add(input);
    return h.mul(C.select(1, t).unsqueeze(1)).sum(-1);
  });
  let y = stack(steps, 1);
  if (of.D) y = y.add(u.mul(of.D));
  if (of.z) y = y.mul(of.z.mul(of.z.sigmoid()));
  return [y, h];
}

export function plainConv(of: Arguments, silu: boolean): Tensor {
  const [x, weight] = [given(of, 'x'), given(of, 'weight')];
  const taps = weight.size(2);
  const steps = Array.from({ length: x.size(1) }, (_, t) => {
    let sum = zeros([x.size(0), x.size(2)], { dtype: x.dtype });
    if (of.bias) sum = sum.add(of.bias);
    for (let k = Math.max(0, taps - 1 - t); k < taps; k++) {
      sum = sum.add(x.select(1, t - taps + 1 + k).mul(weight.select(2, k).select(1, 0)));
    }
    return sum;
  });
  const y = stack(steps, 1);
  return silu ? y.mul(y.sigmoid()) : y;
}

export function plainRmsNorm(of: Arguments, eps: number): Tensor {
  const x = given(of, 'x');
  return x.div(x.square().mean(-1, true).add(eps).sqrt()).mul(given(of, 'weight'));
}

export function plainBiasGelu(of: Arguments): Tensor {
  const sum = given(of, 'x').add(given(of, 'bias'));
  return sum.mul(0.5).mul(ops.erf(sum.mul(Math.SQRT1_2)).add(1));
}
