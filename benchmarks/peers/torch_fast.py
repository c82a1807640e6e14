#!/usr/bin/env python3
"""The model of torch_mamba.py as fast as PyTorch 2 makes it on a GPU: the yardstick for our training there.

The selective scan is two Triton kernels, registered as operators with gradients and shapes, so that
torch.compile treats the rest of a block as one graph around them. Activations stay [batch, length, channels];
patches are embedded by a matrix product; AdamW is fused; with --graph the whole step is one CUDA graph.

  torch_fast.py time --arch mamba_small --batch 512 --device cuda --amp --compile --graph [--what train|infer] [--runs 5]
      one JSON line: median milliseconds
  torch_fast.py --check [--device cuda]
      compares the scan, values and all gradients, with a loop in float64, and the model with torch_mamba.py's.
      Without a GPU: TRITON_INTERPRET=1 torch_fast.py --check
"""
import argparse
import json
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
import triton
import triton.language as tl

from torch_mamba import ARCHS, Mamba, SelectiveSSM, infer_step, median_ms, plain_scan, train_step

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
SEGMENT = 8  # steps between two saved states: so many are held in registers by the backward pass
LOG2E = tl.constexpr(1.4426950408889634)


def configs(*choices):
    """Channels and warps of a program, and the most registers of a thread; Triton times all on the first call."""
    used = choices[:1] if INTERPRETED else choices
    return [triton.Config({"BLOCK": block}, num_warps=warps, maxnreg=most) for block, warps, most in used]


FORWARD = configs((16, 1, None), (32, 1, None), (32, 2, None), (64, 2, None), (64, 4, None), (128, 4, None))
BACKWARD = configs((16, 1, None), (32, 2, None), (32, 4, None), (32, 4, 128), (64, 8, 128))


@triton.jit
def step_size(raw, valid):
    """softplus; 0 beyond the end, which leaves the state as it is."""
    positive = tl.maximum(raw, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(raw)))
    return tl.where(valid, positive, 0.0)


@triton.autotune(configs=FORWARD, key=["channels", "length", "STATES", "SAVE"])
@triton.jit
def scan_forward(
    u, delta, a, b, c, skip, z, bias, y, saved,
    u_row, delta_row, b_row, c_row, z_row, length, channels, segments,
    STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, SAVE: tl.constexpr, BLOCK: tl.constexpr,
):
    d = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, PADDED)
    batch = tl.program_id(1).to(tl.int64)
    channel, state = d < channels, n < STATES
    tile, inside = d[:, None] * STATES + n[None, :], channel[:, None] & state[None, :]
    rate = tl.load(a + tile, mask=inside, other=0.0) * LOG2E
    skips = tl.load(skip + d, mask=channel, other=0.0)
    biases = tl.load(bias + d, mask=channel, other=0.0)
    h = tl.zeros((BLOCK, PADDED), tl.float32)
    for segment in range(segments):
        first = segment * STEPS
        if SAVE:
            tl.store(saved + (batch * segments + segment) * channels * STATES + tile, h, mask=inside)
        # All of a segment is asked for before the first of it is needed.
        us, dts, zs, bs, cs = (), (), (), (), ()
        for i in tl.static_range(STEPS):
            row, valid = batch * length + first + i, first + i < length
            us = us + (tl.load(u + row * u_row + d, mask=channel & valid, other=0.0).to(tl.float32),)
            dts = dts + (tl.load(delta + row * delta_row + d, mask=channel & valid, other=0.0).to(tl.float32),)
            zs = zs + (tl.load(z + row * z_row + d, mask=channel & valid, other=0.0).to(tl.float32),)
            bs = bs + (tl.load(b + row * b_row + n, mask=state & valid, other=0.0).to(tl.float32),)
            cs = cs + (tl.load(c + row * c_row + n, mask=state & valid, other=0.0).to(tl.float32),)
        for i in tl.static_range(STEPS):
            row, valid = batch * length + first + i, first + i < length
            dt = step_size(dts[i] + biases, valid)
            h = tl.exp2(dt[:, None] * rate) * h + (dt * us[i])[:, None] * bs[i][None, :]
            out = tl.sum(h * cs[i][None, :], 1) + skips * us[i]
            out = out * zs[i] * tl.sigmoid(zs[i])
            tl.store(y + row * channels + d, out.to(y.dtype.element_ty), mask=channel & valid)


@triton.autotune(configs=BACKWARD, key=["channels", "length", "STATES"], reset_to_zero=["dbc"])
@triton.jit
def scan_backward(
    u, delta, a, b, c, skip, z, bias, saved, dy, du, ddelta, dz, dbc, da, dvectors,
    u_row, delta_row, b_row, c_row, z_row, dy_row, length, channels, segments,
    STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr,
):
    d = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, PADDED)
    batch = tl.program_id(1).to(tl.int64)
    channel, state = d < channels, n < STATES
    tile, inside = d[:, None] * STATES + n[None, :], channel[:, None] & state[None, :]
    rate = tl.load(a + tile, mask=inside, other=0.0)
    skips = tl.load(skip + d, mask=channel, other=0.0)
    biases = tl.load(bias + d, mask=channel, other=0.0)
    dh = tl.zeros((BLOCK, PADDED), tl.float32)
    drate = tl.zeros((BLOCK, PADDED), tl.float32)
    dskip = tl.zeros((BLOCK,), tl.float32)
    dbias = tl.zeros((BLOCK,), tl.float32)
    for back in range(segments):
        segment = segments - 1 - back
        first = segment * STEPS
        h = tl.load(saved + (batch * segments + segment) * channels * STATES + tile, mask=inside, other=0.0)
        states = (h,)
        for i in tl.static_range(STEPS):
            row, valid = batch * length + first + i, first + i < length
            u_t = tl.load(u + row * u_row + d, mask=channel & valid, other=0.0).to(tl.float32)
            raw = tl.load(delta + row * delta_row + d, mask=channel & valid, other=0.0).to(tl.float32)
            b_t = tl.load(b + row * b_row + n, mask=state & valid, other=0.0).to(tl.float32)
            dt = step_size(raw + biases, valid)
            h = tl.exp2(dt[:, None] * (rate * LOG2E)) * h + (dt * u_t)[:, None] * b_t[None, :]
            states = states + (h,)
        for i in tl.static_range(STEPS - 1, -1, -1):
            row, valid = batch * length + first + i, first + i < length
            mask, mask_n = channel & valid, state & valid
            u_t = tl.load(u + row * u_row + d, mask=mask, other=0.0).to(tl.float32)
            raw = tl.load(delta + row * delta_row + d, mask=mask, other=0.0).to(tl.float32) + biases
            z_t = tl.load(z + row * z_row + d, mask=mask, other=0.0).to(tl.float32)
            g = tl.load(dy + row * dy_row + d, mask=mask, other=0.0).to(tl.float32)
            b_t = tl.load(b + row * b_row + n, mask=mask_n, other=0.0).to(tl.float32)
            c_t = tl.load(c + row * c_row + n, mask=mask_n, other=0.0).to(tl.float32)
            dt = step_size(raw, valid)
            decay = tl.exp2(dt[:, None] * (rate * LOG2E))

            gate = tl.sigmoid(z_t)
            ungated = tl.sum(states[i + 1] * c_t[None, :], 1) + skips * u_t
            dz_t = g * ungated * gate * (1.0 + z_t * (1.0 - gate))
            g = g * z_t * gate
            dc_t = tl.sum(g[:, None] * states[i + 1], 0)
            dh += g[:, None] * c_t[None, :]
            db_t = tl.sum(dh * (dt * u_t)[:, None], 0)
            dx = tl.sum(dh * b_t[None, :], 1)
            dh = dh * decay
            through = dh * states[i]
            drate += through * dt[:, None]
            ddt = tl.sum(through * rate, 1) + dx * u_t
            draw = tl.where(mask, ddt * tl.sigmoid(raw), 0.0)
            dskip += g * u_t
            dbias += draw
            tl.store(du + row * channels + d, (g * skips + dx * dt).to(du.dtype.element_ty), mask=mask)
            tl.store(ddelta + row * channels + d, draw.to(ddelta.dtype.element_ty), mask=mask)
            tl.store(dz + row * channels + d, dz_t.to(dz.dtype.element_ty), mask=mask)
            tl.atomic_add(dbc + row * 2 * STATES + n, db_t, mask=mask_n, sem="relaxed")
            tl.atomic_add(dbc + row * 2 * STATES + STATES + n, dc_t, mask=mask_n, sem="relaxed")
    # Every sequence has its own: the sum over the batch is one reduction, where atomics would meet at few addresses.
    tl.store(da + batch * channels * STATES + tile, drate, mask=inside)
    tl.store(dvectors + batch * 2 * channels + d, dskip, mask=channel)
    tl.store(dvectors + batch * 2 * channels + channels + d, dbias, mask=channel)


def as_rows(t):
    """A view of rows with one stride; halves of a projection are that already."""
    batch, length, _ = t.shape
    return t if t.stride(2) == 1 and t.stride(0) == length * t.stride(1) else t.contiguous()


def sizes(u, a):
    batch, length, channels = u.shape
    states = a.shape[1]
    segments = triton.cdiv(length, SEGMENT)
    grid = lambda meta: (triton.cdiv(channels, meta["BLOCK"]), batch)  # noqa: E731
    tiles = {"STATES": states, "PADDED": triton.next_power_of_2(states), "STEPS": SEGMENT}
    return (batch, length, channels, states, segments), grid, tiles


@torch.library.custom_op("mamba_peer::scan", mutates_args=())
def scan(
    u: torch.Tensor, delta: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor,
    skip: torch.Tensor, z: torch.Tensor, bias: torch.Tensor, save: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(C h + D u) silu(z) with h' = exp(dt A) h + dt B u and dt = softplus(delta + bias); a, skip, bias: float32."""
    (batch, length, channels, states, segments), grid, tiles = sizes(u, a)
    u, delta, b, c, z = map(as_rows, (u, delta, b, c, z))
    y = u.new_empty(batch, length, channels)
    saved = u.new_empty((batch, segments, channels, states) if save else (0,), dtype=torch.float32)
    rows = [t.stride(1) for t in (u, delta, b, c, z)]
    tensors = u, delta, a.contiguous(), b, c, skip, z, bias, y, saved
    scan_forward[grid](*tensors, *rows, length, channels, segments, **tiles, SAVE=save)
    return y, saved


@scan.register_fake
def _(u, delta, a, b, c, skip, z, bias, save):
    batch, length, channels, states, segments = sizes(u, a)[0]
    shape = (batch, segments, channels, states) if save else (0,)
    return u.new_empty(batch, length, channels), u.new_empty(shape, dtype=torch.float32)


@torch.library.custom_op("mamba_peer::scan_backward", mutates_args=())
def scan_backward_op(
    dy: torch.Tensor, u: torch.Tensor, delta: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor,
    skip: torch.Tensor, z: torch.Tensor, bias: torch.Tensor, saved: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of u, delta, z, of B and C together, and of A and of D and the bias for every sequence."""
    (batch, length, channels, states, segments), grid, tiles = sizes(u, a)
    dy, u, delta, b, c, z = map(as_rows, (dy, u, delta, b, c, z))
    du, ddelta, dz = (t.new_empty(batch, length, channels) for t in (u, delta, z))
    dbc = u.new_zeros((batch, length, 2 * states), dtype=torch.float32)
    da = u.new_empty((batch, channels, states), dtype=torch.float32)
    dvectors = u.new_empty((batch, 2, channels), dtype=torch.float32)
    rows = [t.stride(1) for t in (u, delta, b, c, z, dy)]
    tensors = u, delta, a.contiguous(), b, c, skip, z, bias, saved, dy, du, ddelta, dz, dbc, da, dvectors
    scan_backward[grid](*tensors, *rows, length, channels, segments, **tiles)
    return du, ddelta, dz, dbc, da, dvectors


@scan_backward_op.register_fake
def _(dy, u, delta, a, b, c, skip, z, bias, saved):
    batch, length, channels, states, _ = sizes(u, a)[0]
    like_u = [t.new_empty(batch, length, channels) for t in (u, delta, z)]
    shapes = (batch, length, 2 * states), (batch, channels, states), (batch, 2, channels)
    return *like_u, *(u.new_empty(shape, dtype=torch.float32) for shape in shapes)


def keep_for_backward(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:-1], output[1])


def gradients(ctx, dy, _):
    u, delta, a, b, c, skip, z, bias, saved = ctx.saved_tensors
    grads = torch.ops.mamba_peer.scan_backward(dy, u, delta, a, b, c, skip, z, bias, saved)
    du, ddelta, dz, dbc, da, dvectors = grads
    db, dc = dbc.to(b.dtype).chunk(2, -1)
    dskip, dbias = dvectors.sum(0).unbind(0)
    return du, ddelta, da.sum(0), db, dc, dskip, dz, dbias, None


scan.register_autograd(gradients, setup_context=keep_for_backward)


class FastSSM(SelectiveSSM):
    def forward(self, x):
        u, z = self.in_proj(x).chunk(2, -1)
        u = F.silu(self.conv(u))
        dt, b, c = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], -1)
        delta = F.linear(dt, self.dt_proj.weight)
        a = -torch.exp(self.A_log.float())
        y, _ = scan(u, delta, a, b, c, self.D.float(), z, self.dt_proj.bias.float(), torch.is_grad_enabled())
        return self.out_proj(y)

    def conv(self, u):
        return FastSSM.convolve(u, self.conv1d)

    @staticmethod
    def convolve(u, conv1d):
        """The sum over shifted inputs, which the compiler fuses into one kernel without transposing anything."""
        length, taps = u.shape[1], conv1d.kernel_size[0]
        weight = conv1d.weight.to(u.dtype).squeeze(1)
        padded = F.pad(u, (0, 0, taps - 1, 0))
        out = conv1d.bias.to(u.dtype)
        for i in range(taps):
            out = out + padded[:, i : i + length] * weight[:, i]
        return out


class FastMamba(Mamba):
    def __init__(self, d_model, depth, d_state, **sizes):
        super().__init__(d_model, depth, d_state, **sizes)
        for block in self.blocks:
            block.ssm = FastSSM(d_model, d_state)

    def forward(self, x):
        batch, channels, height, width = x.shape
        d_model, _, p, _ = self.patch_embed.weight.shape
        patches = x.view(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(batch, -1, channels * p * p)
        x = F.linear(patches, self.patch_embed.weight.view(d_model, -1), self.patch_embed.bias) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


def whole_step(step):
    """The step as one CUDA graph; the step itself and why, if it cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except RuntimeError as error:
        return step, str(error).splitlines()[0]
    return graph.replay, None


def measure(args):
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    d_model, depth, d_state = ARCHS[args.arch]
    model = FastMamba(d_model, depth, d_state).to(args.device)
    x = torch.randn(args.batch, 3, 32, 32, device=args.device)
    y = torch.randint(0, 10, (args.batch,), device=args.device)
    infers = args.what == "infer"
    if infers and args.amp:
        # Weights and residuals in bfloat16 too: nothing is left for autocast to convert.
        model, x = model.bfloat16(), x.bfloat16()
    if args.compile:
        # Blocks are alike: compiled one by one they share one compilation. The whole model as one graph takes over ten
        # times as long to compile and tune.
        for block in model.blocks:
            block.compile(mode=args.mode, fullgraph=True)
    amp = args.amp and not infers
    # Learning rate and step count on the device: what a CUDA graph needs.
    optimizer = {"fused": True, "capturable": args.graph} if args.device.startswith("cuda") else {}
    step = infer_step(model.eval(), x) if infers else train_step(model, x, y, amp=amp, **optimizer)
    obstacle = None
    if args.graph:
        step, obstacle = whole_step(step)
    ms = median_ms(step, args.runs, args.device)
    result = {"peer": f"torch {torch.__version__}", "what": args.what, "ms": ms}
    print(json.dumps({**result, "graph": args.graph and obstacle is None, **({"note": obstacle} if obstacle else {})}))


def scan_inputs(batch, length, channels, states, dtype, device):
    """In the layouts that the model gives: u and z, B and C are parts of wider rows."""
    torch.manual_seed(batch + length)
    wide = torch.randn(batch, length, 2 * channels, device=device).to(dtype)
    narrow = torch.randn(batch, length, 3 + 2 * states, device=device).to(dtype)
    delta = torch.randn(batch, length, channels, device=device).to(dtype)
    a = -torch.rand(channels, states, device=device) * states - 0.1
    skip, bias = torch.randn(2, channels, device=device)
    u, z = wide.chunk(2, -1)
    _, b, c = narrow.split([3, states, states], -1)
    return [u, delta, a, b, c, skip, z, bias]


def reference(u, delta, a, b, c, skip, z, bias):
    return (plain_scan(u, F.softplus(delta + bias), a, b, c) + u * skip) * F.silu(z)


def difference(got, wanted):
    return ((got.double() - wanted).norm() / wanted.norm()).item()


def check(args):
    """@returns whether all is within rounding"""
    worst = 0.0
    dtypes = [(torch.float32, 2e-5)] + ([] if INTERPRETED else [(torch.bfloat16, 2e-2)])
    shapes = [(2, 64, 48, 16), (3, 19, 37, 5), (1, 7, 20, 8), (2, 33, 65, 1)]
    names = ["y", "u", "delta", "A", "B", "C", "D", "z", "bias"]
    for dtype, limit in dtypes:
        for shape in shapes:
            inputs = [t.detach().requires_grad_() for t in scan_inputs(*shape, dtype, args.device)]
            doubles = [t.detach().double().requires_grad_() for t in inputs]
            gradient = torch.randn_like(doubles[0])
            y, _ = scan(*inputs, True)
            wanted = reference(*doubles)
            pairs = [(y, wanted)]
            grads = torch.autograd.grad(y, inputs, gradient.to(y.dtype))
            pairs += zip(grads, torch.autograd.grad(wanted, doubles, gradient))
            errors = [difference(*pair) for pair in pairs]
            worst = max(worst, max(errors) / limit)
            shown = " ".join(f"{name} {error:.1e}" for name, error in zip(names, errors))
            print(f"scan {'x'.join(map(str, shape))} {str(dtype)[6:]}: {shown}")
    worst = max(worst, check_model(args.device) / 1e-4)
    print("all within rounding" if worst <= 1 else f"FAILED: {worst:.1f} times the limit")
    return worst <= 1


def check_model(device):
    torch.manual_seed(0)
    plain = Mamba(16, 2, 4, num_classes=5, image_size=12).to(device)
    fast = FastMamba(16, 2, 4, num_classes=5, image_size=12).to(device)
    fast.load_state_dict(plain.state_dict())
    x, y = torch.randn(3, 3, 12, 12, device=device), torch.tensor([0, 3, 4], device=device)
    for model in (plain, fast):
        F.cross_entropy(model(x), y).backward()
    pairs = zip(fast.named_parameters(), plain.parameters())
    errors = {name: difference(got.grad, wanted.grad.double()) for (name, got), wanted in pairs}
    name = max(errors, key=errors.get)
    print(f"model: worst gradient {name} {errors[name]:.1e}")
    return errors[name]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["time"], nargs="?", default="time")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--arch", default="mamba_small", choices=ARCHS)
    parser.add_argument("--what", default="train", choices=["train", "infer"])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action="store_true", help="bfloat16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--mode", default="default", help="of torch.compile; max-autotune-no-cudagraphs is no faster")
    parser.add_argument("--graph", action="store_true", help="replay the whole step as one CUDA graph")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    if args.check:
        sys.exit(0 if check(args) else 1)
    measure(args)


if __name__ == "__main__":
    main()
