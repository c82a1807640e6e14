#!/usr/bin/env python3
"""Vision transformer in plain PyTorch with timm's parameter names: the yardstick for speed and values.

Works with PyTorch 1.13 (Debian's python3-torch, run with /usr/bin/python3) and 2.x.

  torch_vit.py time --arch vit_tiny --batch 32 --threads 2 [--what train|infer] [--runs 5]
      one JSON line: median milliseconds
  torch_vit.py golden FILE
      a parity case of a small width: weights, input, logits, loss, every gradient, in one safetensors file
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from image_peer import main, parity_case

ARCHS = {"vit_tiny": (192, 12, 3), "vit_small": (384, 12, 6)}  # width, layers, heads
FUSED = getattr(F, "scaled_dot_product_attention", None)


class PatchEmbed(nn.Module):
    def __init__(self, channels, width, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x):  # [B, C, H, W] -> [B, patches, width]
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, length, _ = x.shape
        width = self.qkv.out_features // 3  # less than that of x where heads were pruned
        split = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        if FUSED:
            seen = FUSED(q, k, v)
        else:
            scores = q * (width // self.heads) ** -0.5 @ k.transpose(-2, -1)
            seen = scores.softmax(-1) @ v
        return self.proj(seen.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), Mlp(width, 4 * width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, width, depth, heads, classes=10, image_size=32, patch=4):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + (image_size // patch) ** 2, width) * 0.02)
        self.patch_embed = PatchEmbed(3, width, patch)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x):  # [B, 3, H, W] -> [B, classes]
        first = self.cls_token.expand(x.shape[0], -1, -1)
        x = torch.cat([first, self.patch_embed(x)], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def small():
    """Random weights whose norms are not the initial ones and zeros, which hide mistakes."""
    model = VisionTransformer(24, 2, 3, classes=5, image_size=12)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.2)
    return model


def golden():
    return parity_case(small(), torch.randn(3, 3, 12, 12), torch.tensor([0, 3, 4]))


if __name__ == "__main__":
    main(ARCHS, lambda arch: VisionTransformer(*ARCHS[arch]), golden)
