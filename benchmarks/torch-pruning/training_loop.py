"""A plain PyTorch training loop with the recipe of compare.mjs: SGD or AdamW, warm-up and cosine, random crops and flips.

It trains what our trainer cannot take, a network whose residual stream was pruned too, and beside it a network that both
can train, which tells how much of a difference comes from the loop.
"""
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F


def cifar10(folder, device):
    """Pixels as bytes on the device. @returns (images, labels) of the training part and of the test part"""
    parts = [[f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]]
    return [read(folder, names, device) for names in parts]


def read(folder, names, device):
    rows = np.concatenate(
        [np.fromfile(os.path.join(folder, name), np.uint8).reshape(-1, 3073) for name in names]
    )
    images = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    return images.to(device), torch.from_numpy(rows[:, 0].astype(np.int64)).to(device)


def limited(images, labels, count):
    """The first `count` images; all if there are no more."""
    return (images, labels) if count is None else (images[:count], labels[:count])


def normalised(pixels, recipe):
    mean, std = (torch.tensor(recipe[k], device=pixels.device).view(1, 3, 1, 1) for k in ("mean", "std"))
    return (pixels.float() / 255 - mean) / std


def augmented(images, generator):
    """Black borders of 4 and a random crop, then a flip of half of the images; `images` are bytes."""
    count, device = len(images), images.device
    padded = F.pad(images, (4, 4, 4, 4))
    at = torch.randint(0, 9, (2, count, 1), generator=generator).to(device)
    columns = torch.arange(32, device=device).expand(count, 32) + at[1]
    flip = (torch.rand(count, 1, generator=generator) < 0.5).to(device)
    columns = torch.where(flip, columns.flip(1), columns)
    rows = torch.arange(32, device=device).expand(count, 32) + at[0]
    picked = torch.arange(count, device=device).view(count, 1, 1)
    return padded.permute(0, 2, 3, 1)[picked, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def optimizer_of(model, recipe):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe["weightDecay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=recipe["lr"], momentum=0.9)
    return torch.optim.AdamW(groups, lr=recipe["lr"])


def factor(step, total, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def accuracy(model, images, labels, recipe):
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in zip(images.split(500), labels.split(500)):
            with autocast(recipe):
                right += (model(normalised(x, recipe)).argmax(1) == y).sum().item()
    return right / len(labels)


def autocast(recipe):
    kind = "cuda" if recipe["device"].startswith("cuda") else "cpu"
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda")


def train(model, recipe):
    """@returns the accuracy after the last epoch, and the seconds"""
    (images, labels), test = cifar10(recipe["folder"], recipe["device"])
    images, labels = limited(images, labels, recipe["trainImages"])
    test = limited(*test, recipe["testImages"])
    generator = torch.Generator().manual_seed(recipe["seed"])
    optimizer = optimizer_of(model, recipe)
    batch, epochs = recipe["batchSize"], recipe["epochs"]
    steps = math.ceil(len(images) / batch)
    warmup = round(recipe["warmupEpochs"] * steps)
    start, step = time.perf_counter(), 0
    for _ in range(epochs):
        model.train()
        for chosen in torch.randperm(len(images), generator=generator).to(images.device).split(batch):
            for group in optimizer.param_groups:
                group["lr"] = recipe["lr"] * factor(step, steps * epochs, warmup)
            x = normalised(augmented(images[chosen], generator), recipe)
            with autocast(recipe):
                loss = F.cross_entropy(model(x), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
    return {"accuracy": accuracy(model, *test, recipe), "seconds": time.perf_counter() - start}
