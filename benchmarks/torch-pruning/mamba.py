#!/usr/bin/env python3
"""What Torch-Pruning makes of the plain vision Mamba of ../peers/torch_mamba.py: half of every width is asked for, in three ways.

    mamba.py       prints a line for each way: the widths of a block before and after, or the error

The model is small and has random weights: what is asked is whether its channels can be cut, and not what that costs. It is in evaluation mode,
and the scan is the plain loop. The output of the network and the residual stream stay, as in compare.mjs. Needs torch 2 and torch_pruning.
"""
import importlib.metadata
import os
import sys
import warnings

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import torch_mamba  # noqa: E402
import torch_pruning as tp  # noqa: E402


def stream(model):
    """The layers that write the residual stream, and the classifier."""
    return [model.patch_embed, model.head, *(b.ssm.out_proj for b in model.blocks), *(b.mlp[2] for b in model.blocks)]


def channels_first(model):
    """Where the channels are in parameters that belong to no layer; Torch-Pruning takes the last dimension unless told."""
    ssm = [p for b in model.blocks for p in (b.ssm.A_log, b.ssm.D)]
    return [(p, 0) for p in ssm] + [(model.pos_embed, 2)]


WAYS = {
    "its defaults": lambda model: {"ignored_layers": stream(model)},
    "told where the channels of A_log and D are": lambda model: {
        "ignored_layers": stream(model), "unwrapped_parameters": channels_first(model),
    },
    "the same, x_proj left out": lambda model: {
        "ignored_layers": [*stream(model), *(b.ssm.x_proj for b in model.blocks)],
        "unwrapped_parameters": channels_first(model),
    },
}


def widths(model):
    block = model.blocks[0]
    return f"{block.ssm.out_proj.in_features} SSM channels, {block.mlp[2].in_features} MLP neurons"


def attempt(settings):
    torch.manual_seed(0)
    model = torch_mamba.Mamba(d_model=32, depth=2, d_state=4, image_size=16).eval()
    images = torch.randn(2, 3, 16, 16)
    before = widths(model)
    try:
        importance = tp.importance.GroupMagnitudeImportance(p=2)
        tp.pruner.BasePruner(model, images, importance=importance, pruning_ratio=0.5, **settings(model)).step()
        model(images)
    except Exception as error:  # whatever it ends in is what is asked for
        return f"{type(error).__name__}: {error}"
    return f"{before} -> {widths(model)}"


if __name__ == "__main__":
    print(f"Torch-Pruning {importlib.metadata.version('torch-pruning')}, torch {torch.__version__}")
    for name, settings in WAYS.items():
        print(f"{name}: {attempt(settings)}")
