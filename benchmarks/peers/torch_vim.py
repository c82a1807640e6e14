#!/usr/bin/env python3
"""Vim (Zhu et al. 2024, arXiv 2401.09417) in PyTorch, with the parameter names of its checkpoints: the yardstick for ours.

The scan is a plain loop, as a Python user would write it; with --fast it is torch_vim_fast.py's, which needs Triton. Works
with PyTorch 1.13 (Debian's python3-torch, run with /usr/bin/python3) and 2.x.

  torch_vim.py time --arch vim_tiny --batch 32 --threads 2 [--what train|infer] [--runs 5] [--rate 0.7] [--device cuda] [--amp]
                    [--fast [--compile] [--graph]] [--case FILE]
      one JSON line: median milliseconds, and the most memory that the process, or it on the GPU, had. --case: a safetensors
      file with `weight.NAME`, `input` and `logits`, which are compared first, in float32; the sizes are then those of its weights
"""
import argparse
import json
import math
import os
import resource
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_mamba import SCANS, infer_step, kept, median_ms, train_step

ARCHS = {"vim_nano": 64, "vim_tiny": 192, "vim_small": 384, "vim_base": 768}  # d_model
LIMIT = 1e-4  # relative to the largest logit: some hundreds of float32 roundings over 24 layers


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Mixer(nn.Module):
    def __init__(self, d_model, d_inner, d_state, d_conv, dt_rank):
        super().__init__()
        self.d_state, self.dt_rank = d_state, dt_rank
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        for end in ("", "_b"):
            conv = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, padding=d_conv - 1)
            setattr(self, "conv1d" + end, conv)
            setattr(self, "x_proj" + end, nn.Linear(d_inner, dt_rank + 2 * d_state, bias=False))
            setattr(self, "dt_proj" + end, nn.Linear(dt_rank, d_inner))
            rates = torch.log(torch.arange(1, d_state + 1).float()).repeat(d_inner, 1)
            setattr(self, "A_b_log" if end else "A_log", nn.Parameter(rates))
            setattr(self, "D" + end, nn.Parameter(torch.ones(d_inner)))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)

    def parts(self, end):
        names = ["conv1d" + end, "x_proj" + end, "dt_proj" + end, "A_b_log" if end else "A_log", "D" + end]
        return [getattr(self, name) for name in names]

    def forward(self, h):  # [B, L, d_model]
        x, z = self.in_proj(h).chunk(2, -1)
        y = self.direction(x, z, "") + self.direction(x.flip(1), z.flip(1), "_b").flip(1)
        return self.out_proj(y / 2)

    def direction(self, x, z, end):
        conv, x_proj, dt_proj, a_log, skip = self.parts(end)
        u = F.silu(conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        dt, b, c = x_proj(u).split([self.dt_rank, self.d_state, self.d_state], -1)
        y = SCANS["unbind"](u, F.softplus(dt_proj(dt)), -torch.exp(a_log), b, c)
        return (y + u * skip) * F.silu(z)


class Layer(nn.Module):
    def __init__(self, mixer, sizes):
        super().__init__()
        self.norm, self.mixer = RMSNorm(sizes[0]), mixer(*sizes)

    def forward(self, x):
        return x + self.mixer(self.norm(x).to(self.mixer.in_proj.weight.dtype))


class PatchEmbed(nn.Module):
    def __init__(self, channels, d_model, patch, stride):
        super().__init__()
        self.proj = nn.Conv2d(channels, d_model, patch, stride)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Vim(nn.Module):
    """`layers`: for each (d_model, d_inner, d_state, d_conv, dt_rank)."""

    def __init__(self, layers, patches, patch=16, stride=16, channels=3, classes=10, mixer=Mixer):
        super().__init__()
        d_model = layers[0][0]
        self.patch_embed = PatchEmbed(channels, d_model, patch, stride)
        self.cls_token = nn.Parameter(torch.randn(1, 1, d_model) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, patches + 1, d_model) * 0.02)
        self.layers = nn.ModuleList([Layer(mixer, sizes) for sizes in layers])
        self.norm_f, self.head = RMSNorm(d_model), nn.Linear(d_model, classes)

    def forward(self, x):  # [B, channels, H, W] -> [B, classes]
        x = self.patch_embed(x)
        middle = x.shape[1] // 2
        token = self.cls_token.expand(x.shape[0], -1, -1).to(x.dtype)
        x = (torch.cat([x[:, :middle], token, x[:, middle:]], 1) + self.pos_embed).float()
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm_f(x[:, middle]).to(self.head.weight.dtype))


def of_arch(arch, rate, mixer):
    d_model = ARCHS[arch]
    sizes = d_model, kept(2 * d_model, 1 - rate), 16, 4, math.ceil(d_model / 16)
    return Vim([sizes] * 24, 196, mixer=mixer)


def of_weights(state, side, mixer):
    """Every size but the stride is a shape; the stride follows from the number of patches."""
    layers = []
    while f"layers.{len(layers)}.norm.weight" in state:
        at = f"layers.{len(layers)}."
        conv, rates = state[at + "mixer.conv1d.weight"], state[at + "mixer.A_log"]
        rank = state[at + "mixer.dt_proj.weight"].shape[1]
        layers.append((len(state[at + "norm.weight"]), len(conv), rates.shape[1], conv.shape[2], rank))
    _, channels, patch, _ = state["patch_embed.proj.weight"].shape
    patches = state["pos_embed"].shape[1] - 1
    stride = (side - patch) // max(1, math.isqrt(patches) - 1) or patch
    model = Vim(layers, patches, patch, stride, channels, len(state["head.bias"]), mixer)
    model.load_state_dict(state)
    return model


def of_case(path, mixer, device):
    """@returns the model, whose logits are those of the file, and the sides of its images"""
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torch-pruning"))
    from safetensors_file import read_safetensors

    case = read_safetensors(path)
    weights = {name[len("weight.") :]: value for name, value in case.items() if name.startswith("weight.")}
    model = of_weights(weights, case["input"].shape[-1], mixer).to(device).eval()
    with torch.no_grad():
        logits = model(case["input"].to(device)).cpu()
    error = ((logits - case["logits"]).abs().max() / case["logits"].abs().max()).item()
    if not error <= LIMIT:
        sys.exit(f"torch_vim: the logits differ by {error:.1e} of the largest, expected at most {LIMIT}.")
    return model, case["input"].shape[1:], error


def measure(args):
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    mixer, error, image = Mixer, None, (3, 224, 224)
    if args.fast:
        from torch_vim_fast import FastMixer as mixer
    if args.case:
        model, image, error = of_case(args.case, mixer, args.device)
    else:
        model = of_arch(args.arch, args.rate, mixer).to(args.device)
    infers, on_gpu = args.what == "infer", args.device.startswith("cuda")
    x, amp = torch.randn(args.batch, *image, device=args.device), args.amp
    if args.fast and infers and amp:
        # Weights in bfloat16 too: nothing is left for autocast to convert. The residual stream stays in float32.
        model, x, amp = model.bfloat16(), x.bfloat16(), False
    y = torch.randint(0, model.head.out_features, (args.batch,), device=args.device)
    if args.compile:
        # Layers are alike: compiled one by one they share one compilation.
        for layer in model.layers:
            layer.compile(fullgraph=args.fast)
    # Learning rate and step count on the device: what a CUDA graph needs.
    optimizer = {"fused": True, "capturable": args.graph} if args.fast and on_gpu else {}
    step = infer_step(model.eval(), x, amp) if infers else train_step(model.train(), x, y, amp, **optimizer)
    obstacle = None
    if args.graph:
        from torch_fast import whole_step

        step, obstacle = whole_step(step)
    ms = median_ms(step, args.runs, args.device)
    peak = torch.cuda.max_memory_reserved() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {"peer": f"torch {torch.__version__}", "what": args.what, "ms": ms, "peakBytes": peak}
    if error is not None:
        result["difference"] = error
    if obstacle:
        result["note"] = obstacle
    print(json.dumps(result))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["time"])
    parser.add_argument("--arch", default="vim_tiny", choices=ARCHS)
    parser.add_argument("--what", default="train", choices=["train", "infer"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0, help="share of channels that the model is without")
    parser.add_argument("--case", help="weights, images and logits to compare with first")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--amp", action="store_true", help="bfloat16 where autocast allows it")
    parser.add_argument("--fast", action="store_true", help="the scan in Triton")
    parser.add_argument("--compile", action="store_true", help="torch.compile, layer by layer")
    parser.add_argument("--graph", action="store_true", help="replay the whole step as one CUDA graph")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
