#!/usr/bin/env python3
"""Vision Mamba in plain PyTorch, as a Python user would write it: the yardstick for speed and values.

Same shapes and parameter names as the TypeScript model. Works with PyTorch 1.13 (Debian's
python3-torch, run with /usr/bin/python3) and 2.x.

  torch_mamba.py time --arch mamba_small --batch 32 --threads 2 [--what train|infer] [--runs 5]
                      [--device cuda] [--amp] [--scan index|unbind] [--compile] [--rate 0.7]
      one JSON line: median milliseconds, and the most memory that the process, or it on the GPU, had
  torch_mamba.py golden FILE [--arch mamba_tiny]
      a parity case, of a small width unless an architecture is named: weights, input, logits, loss, every
      gradient, and the weights after three AdamW steps, in one safetensors file
"""
import argparse
import json
import math
import resource
import statistics
import struct
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

ARCHS = {  # d_model, layers, d_state
    "mamba_tiny": (96, 12, 8),
    "mamba_small": (192, 24, 16),
    "mamba_base": (384, 24, 16),
}


def kept(width, keep):
    """Of a pruned model; halves go up, as in JavaScript."""
    return math.floor(width * keep + 0.5)


class SelectiveSSM(nn.Module):
    scan = "unbind"

    def __init__(self, d_model, d_state=16, d_conv=4, expand=2, keep=1.0):
        super().__init__()
        self.d_inner, self.d_state, self.dt_rank = kept(expand * d_model, keep), d_state, math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, d_state + 1).float()).repeat(self.d_inner, 1))
        self.D = nn.Parameter(torch.ones(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)

    def forward(self, x):  # [B, L, d_model]
        length = x.shape[1]
        u, z = self.in_proj(x).chunk(2, -1)
        u = F.silu(self.conv1d(u.transpose(1, 2))[..., :length].transpose(1, 2))
        dt, b, c = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], -1)
        y = SCANS[self.scan](u, F.softplus(self.dt_proj(dt)), -torch.exp(self.A_log), b, c)
        return self.out_proj((y + u * self.D) * F.silu(z))


def plain_scan(u, dt, a, b, c):
    """The fastest plain loop measured: unbind, so that backward writes each step's gradient once."""
    h = torch.zeros(u.shape[0], u.shape[2], a.shape[1], device=u.device, dtype=u.dtype)
    ys = []
    for d_t, v_t, b_t, c_t in zip(dt.unbind(1), (dt * u).unbind(1), b.unbind(1), c.unbind(1)):
        h = torch.exp(d_t.unsqueeze(-1) * a) * h + v_t.unsqueeze(-1) * b_t.unsqueeze(1)
        ys.append((h @ c_t.unsqueeze(-1)).squeeze(-1))
    return torch.stack(ys, 1)


def index_scan(u, dt, a, b, c):
    """The loop as most write it first. Every step's gradient fills a tensor of the whole length."""
    h = torch.zeros(u.shape[0], u.shape[2], a.shape[1], device=u.device, dtype=u.dtype)
    ys = []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t].unsqueeze(-1) * a) * h + (dt[:, t] * u[:, t]).unsqueeze(-1) * b[:, t].unsqueeze(1)
        ys.append((h @ c[:, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(ys, 1)


SCANS = {"unbind": plain_scan, "index": index_scan}


class Block(nn.Module):
    def __init__(self, d_model, d_state, keep=1.0):
        super().__init__()
        hidden = kept(4 * d_model, keep)
        self.norm1 = nn.LayerNorm(d_model)
        self.ssm = SelectiveSSM(d_model, d_state, keep=keep)
        self.norm2 = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, hidden), nn.GELU(), nn.Linear(hidden, d_model))

    def forward(self, x):
        x = x + self.ssm(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Mamba(nn.Module):
    def __init__(self, d_model, depth, d_state, num_classes=10, image_size=32, patch=4, keep=1.0):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, d_model, patch, patch)
        self.pos_embed = nn.Parameter(torch.randn(1, (image_size // patch) ** 2, d_model) * 0.02)
        self.blocks = nn.ModuleList([Block(d_model, d_state, keep) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(d_model), nn.Linear(d_model, num_classes)

    def forward(self, x):  # [B, 3, H, W] -> [B, classes]
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


def save_safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, tensor in tensors.items():
        raw = tensor.detach().float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def golden(path, arch):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    side = 32 if arch else 12
    model = Mamba(*ARCHS[arch]) if arch else Mamba(16, 2, 4, num_classes=5, image_size=side)
    x, y = torch.randn(3, 3, side, side), torch.tensor([0, 3, 4])
    case = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()}
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    case.update({"input": x, "logits": logits, "loss": loss})
    case.update({f"grad.{k}": v.grad.clone() for k, v in model.named_parameters()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.05)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    case["losses"] = torch.stack(losses)
    case.update({f"stepped.{k}": v for k, v in model.state_dict().items()})
    save_safetensors(path, case)


def median_ms(step, runs, device="cpu"):
    for _ in range(2):
        step()
    # Waiting for a GPU after every step would leave it idle while the next one is prepared: groups of steps are timed.
    group, wait = 1, lambda: None
    if device.startswith("cuda"):
        wait = torch.cuda.synchronize
        wait()
        started = time.perf_counter()
        step()
        wait()
        group = max(1, math.ceil(0.2 / (time.perf_counter() - started)))
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        for _ in range(group):
            step()
        wait()
        times.append((time.perf_counter() - started) / group)
    return statistics.median(times) * 1e3


def measure(args):
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    d_model, depth, d_state = ARCHS[args.arch or "mamba_small"]
    if args.what.startswith("scan"):
        step = scan_step(args)
    else:
        model = Mamba(d_model, depth, d_state, keep=1 - args.rate).to(args.device)
        for block in model.blocks:
            block.ssm.scan = args.scan
            if args.compile:
                # Blocks are alike: compiled one by one they share one compilation, which takes long enough.
                block.compile()
        x = torch.randn(args.batch, 3, 32, 32, device=args.device)
        y = torch.randint(0, 10, (args.batch,), device=args.device)
        step = train_step(model, x, y, args.amp) if args.what == "train" else infer_step(model, x, args.amp)
    ms = median_ms(step, args.runs, args.device)
    on_gpu = args.device.startswith("cuda")
    peak = torch.cuda.max_memory_reserved() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peer": f"torch {torch.__version__}", "what": args.what, "ms": ms, "peakBytes": peak}))


def train_step(model, x, y, amp=False, **settings):
    """`settings`: AdamW's, besides the learning rate."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, **settings)

    def step():
        with torch.autocast(x.device.type, torch.bfloat16, enabled=amp):
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def infer_step(model, x, amp=False):
    def step():
        with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=amp):
            model(x)

    return step


def scan_step(args):
    """B=batch, L=64, D=384, N=16, as in mamba_small."""
    batch, length, channels, states = args.batch, 64, 384, 16
    tensors = [
        torch.randn(batch, length, channels),
        torch.rand(batch, length, channels) * 0.1,
        -torch.rand(channels, states) * states,
        torch.randn(batch, length, states),
        torch.randn(batch, length, states),
    ]
    if args.what == "scan-forward":

        def forward():
            with torch.no_grad():
                plain_scan(*tensors)

        return forward
    leaves = [t.requires_grad_() for t in tensors]
    gradient = torch.randn(batch, length, channels)

    def both():
        for leaf in leaves:
            leaf.grad = None
        plain_scan(*leaves).backward(gradient)

    return both


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["time", "golden"])
    parser.add_argument("out", nargs="?")
    parser.add_argument("--arch", choices=ARCHS, help="of time mamba_small, of golden a small width, if none is named")
    parser.add_argument("--what", default="train", choices=["train", "infer", "scan-forward", "scan-both"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0, help="share of channels and neurons that the model is without")
    parser.add_argument("--device", default="cpu", help="of train and infer")
    parser.add_argument("--amp", action="store_true", help="bfloat16 where autocast allows it")
    parser.add_argument("--scan", default="unbind", choices=SCANS)
    parser.add_argument("--compile", action="store_true", help="torch.compile, block by block")
    args = parser.parse_args()
    if args.command == "golden":
        golden(args.out, args.arch)
    else:
        measure(args)


if __name__ == "__main__":
    main()
