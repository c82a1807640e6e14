#!/usr/bin/env python3
"""Torch-Pruning at work on our dense weights: called by compare.mjs, once for each cut and each training.

    peer.py cut FOLDER      reads FOLDER/job.json, cuts, and writes
                              pruned.pth   the state dict, as torch.save does
                              pruned.pt    the whole module, for `train`
                              report.json  share pruned, MACs, parameters, seconds, logits, versions
    peer.py train FOLDER    trains FOLDER/pruned.pt as FOLDER/train.json says; writes trained.json

Needs torch 2, numpy and torch_pruning, and nothing else: the models are those of ../peers, which have the parameter names
of torchvision and timm.
"""
import copy
import json
import math
import os
import sys
import time
import warnings

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import torch_pruning as tp  # noqa: E402
import torch_resnet  # noqa: E402
import torch_vit  # noqa: E402

from safetensors_file import read_safetensors  # noqa: E402
from training_loop import train  # noqa: E402


def dense_model(job):
    size = job["imageSize"]
    if job["arch"] in torch_resnet.ARCHS:
        model = torch_resnet.ResNet(*torch_resnet.ARCHS[job["arch"]], classes=job["classes"])
    else:
        sizes = torch_vit.ARCHS[job["arch"]]
        model = torch_vit.VisionTransformer(*sizes, job["classes"], size, job["patchSize"])
    model.load_state_dict(read_safetensors(job["weights"]))
    return model.to(job["device"]).eval()


def stays(model, stream):
    """Layers whose outputs are not pruned: the classifier; and the residual stream, unless that is pruned too."""
    if isinstance(model, torch_vit.VisionTransformer):
        return [model.patch_embed.proj, model.head]
    if stream:
        return [model.fc]
    blocks = [m for m in model.modules() if isinstance(m, torch_resnet.Block)]
    lasts = [getattr(block, f"conv{block.layers}") for block in blocks]
    shortcuts = [block.downsample for block in blocks if block.downsample is not None]
    return [model.conv1, model.fc, *lasts, *shortcuts]


def importance_of(name):
    """Torch-Pruning's defaults: sums over the members of a group, divided by the mean of the group."""
    if name == "taylor":
        return tp.importance.GroupTaylorImportance()
    return tp.importance.GroupMagnitudeImportance(p={"l1": 1, "l2": 2}[name])


def add_gradients(model, job):
    """Of the mean loss over the images that our scores see too, in evaluation mode. @returns seconds"""
    if job["importance"] != "taylor":
        return 0
    synchronize(job)
    start = time.perf_counter()
    images = read_safetensors(job["calibration"])
    batches = images["images"].split(64), images["labels"].long().split(64)
    for x, y in zip(*batches):
        F.cross_entropy(model(x.to(job["device"])), y.to(job["device"])).backward()
    synchronize(job)
    return time.perf_counter() - start


def cut(dense, job, ratio):
    """One step of the pruner at one ratio, on a copy. @returns the model and the seconds it took"""
    model = copy.deepcopy(dense)
    for copied, original in zip(model.parameters(), dense.parameters()):
        copied.grad = None if original.grad is None else original.grad.clone()
    synchronize(job)
    start = time.perf_counter()
    heads = {m.qkv: m.heads for m in model.modules() if isinstance(m, torch_vit.Attention)}
    pruner = tp.pruner.BasePruner(
        model,
        torch.zeros(1, 3, job["imageSize"], job["imageSize"], device=job["device"]),
        importance=importance_of(job["importance"]),
        global_pruning=True,
        iterative_steps=1,
        pruning_ratio=ratio,
        ignored_layers=stays(model, job["stream"]),
        # Whole heads, as ours: of their dimensions none goes.
        num_heads=heads,
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=ratio,
    )
    pruner.step()
    for module in model.modules():
        if isinstance(module, torch_vit.Attention):
            module.heads = pruner.num_heads[module.qkv]
    synchronize(job)
    model.zero_grad(set_to_none=True)
    return model, time.perf_counter() - start


def synchronize(job):
    if job["device"].startswith("cuda"):
        torch.cuda.synchronize()


def macs_of(model, job):
    """As mamba-prune counts them: convolutions, linear layers, and the two products of an attention."""
    total = 0

    def count(module, _, output):
        nonlocal total
        places = math.prod(output.shape[2:]) if isinstance(module, nn.Conv2d) else math.prod(output.shape[1:-1])
        total += places * module.weight.numel()

    def attention(module, inputs, _):
        nonlocal total
        length = inputs[0].shape[1]
        total += 2 * length * length * module.qkv.out_features // 3

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks += [m.register_forward_hook(attention) for m in model.modules() if isinstance(m, torch_vit.Attention)]
    with torch.no_grad():
        model(torch.zeros(1, 3, job["imageSize"], job["imageSize"], device=job["device"]))
    for hook in hooks:
        hook.remove()
    return total


def cut_to_macs(dense, job):
    """The smallest ratio, found by halving, that leaves at most the MACs asked for."""
    low, high, best = 0.0, 1.0, None
    for _ in range(12):
        ratio = (low + high) / 2
        model, seconds = cut(dense, job, ratio)
        macs = macs_of(model, job)
        if macs <= job["macs"]:
            high = ratio
            if best is None or macs > best["macs"]:
                best = {"model": model, "ratio": ratio, "macs": macs, "seconds": seconds}
        else:
            low = ratio
    if best is None:
        raise SystemExit(f"no ratio leaves at most {job['macs']} MACs")
    return best


def run_cut(folder, job):
    dense = dense_model(job)
    seconds = add_gradients(dense, job)
    best = cut_to_macs(dense, job)
    best["seconds"] += seconds
    model = best.pop("model").eval()
    example = torch.zeros(1, 3, job["imageSize"], job["imageSize"], device=job["device"])
    their_macs, parameters = tp.utils.count_ops_and_params(model, example)
    model.cpu()
    images = read_safetensors(job["calibration"])["images"][:16]
    with torch.no_grad():
        logits = model(images)
    torch.save(model.state_dict(), f"{folder}/pruned.pth")
    torch.save(model, f"{folder}/pruned.pt")
    versions = {"torch": torch.__version__, "torch-pruning": version_of("torch-pruning")}
    report = {
        **best,
        "theirMacs": int(their_macs),
        "parameters": int(parameters),
        "logits": logits.tolist(),
        "versions": versions,
    }
    with open(f"{folder}/report.json", "w") as file:
        json.dump(report, file)


def version_of(package):
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # a folder on PYTHONPATH without its metadata
        return tp.__version__


def run_train(folder, recipe):
    # Written by `cut` just before, in the same folder.
    model = torch.load(f"{folder}/pruned.pt", weights_only=False).to(recipe["device"])
    with open(f"{folder}/trained.json", "w") as file:
        json.dump(train(model, recipe), file)


def main():
    command, folder = sys.argv[1:]
    with open(f"{folder}/{'job' if command == 'cut' else 'train'}.json") as file:
        job = json.load(file)
    torch.manual_seed(job["seed"])
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    {"cut": run_cut, "train": run_train}[command](folder, job)


if __name__ == "__main__":
    main()
