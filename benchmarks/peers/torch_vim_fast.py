#!/usr/bin/env python3
"""The mixer of torch_vim.py as fast as PyTorch 2 makes it on a GPU: its scans are the Triton kernels of torch_fast.py.

  torch_vim_fast.py --check [--device cuda]
      compares logits and all gradients with torch_vim.py's. Without a GPU: TRITON_INTERPRET=1 torch_vim_fast.py --check
"""
import argparse
import sys

import torch
import torch.nn.functional as F

from torch_fast import FastSSM, difference, scan
from torch_vim import Mixer, Vim


class FastMixer(Mixer):
    def direction(self, x, z, end):
        conv, x_proj, dt_proj, a_log, skip = self.parts(end)
        u = F.silu(FastSSM.convolve(x, conv))
        dt, b, c = x_proj(u).split([self.dt_rank, self.d_state, self.d_state], -1)
        delta = F.linear(dt, dt_proj.weight)
        save = torch.is_grad_enabled()
        return scan(u, delta, -torch.exp(a_log.float()), b, c, skip.float(), z, dt_proj.bias.float(), save)[0]


def check(device):
    torch.manual_seed(0)
    sizes = [(16, 20, 4, 4, 2), (16, 9, 5, 4, 1)]
    plain, fast = (Vim(sizes, 9, patch=4, stride=4, mixer=mixer).to(device) for mixer in (Mixer, FastMixer))
    fast.load_state_dict(plain.state_dict())
    x, y = torch.randn(3, 3, 12, 12, device=device), torch.tensor([0, 3, 4], device=device)
    logits = [model(x) for model in (fast, plain)]
    for result in logits:
        F.cross_entropy(result, y).backward()
    errors = {"logits": difference(logits[0], logits[1].double())}
    for (name, got), wanted in zip(fast.named_parameters(), plain.parameters()):
        errors[name] = difference(got.grad, wanted.grad.double())
    name = max(errors, key=errors.get)
    print(f"worst: {name} {errors[name]:.1e}")
    return errors[name] <= 1e-4


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    sys.exit(0 if check(parser.parse_args().device) else 1)
