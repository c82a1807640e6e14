"""Trainings under a teacher in plain PyTorch and float64: what teacher-parity.test.ts compares with.

    python3 teacher-peer.py CASES.json

adds to every case the loss of each step (LOSSES.json), and writes what the student is afterwards (AFTER, safetensors).
"""

import json
import sys

import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True
with open(sys.argv[1]) as file:
    given = json.load(file)
sys.path[:0] = given["peers"]

from safetensors_file import read_safetensors  # noqa: E402
from torch_mamba import save_safetensors  # noqa: E402
from torch_resnet import ResNet  # noqa: E402
from torch_vit import VisionTransformer  # noqa: E402

torch.set_num_threads(1)


def model_of(family, path):
    if family == "vit":
        model = VisionTransformer(12, 2, 2, classes=2, image_size=8)
    else:
        model = ResNet((3, 3), (1, 1), 6, classes=2)
    model.load_state_dict(read_safetensors(path))
    return model.double()


def pixels(values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1)


def run(case):
    student, teacher = model_of(*case["student"]), model_of(*case["teacher"])
    teacher.eval()
    named = list(student.named_parameters())
    # Kernels and linear layers alone, without positions and tokens.
    shrinks = [p for n, p in named if p.ndim > 1 and n not in ("pos_embed", "cls_token")]
    others = [p for n, p in named if p.ndim <= 1 or n in ("pos_embed", "cls_token")]
    groups = [{"params": shrinks, "weight_decay": 0.05}, {"params": others, "weight_decay": 0}]
    optimizer = torch.optim.SGD(groups, lr=1, momentum=0.9)
    batches, losses = read_safetensors(case["batches"]), []
    weight, temperature, smoothing = case["weight"], case["temperature"], case["labelSmoothing"]
    for step, lr in enumerate(case["rates"]):
        images = batches[f"{step}.images"].double()
        targets = batches.get(f"{step}.targets")
        labels = batches[f"{step}.labels"] if targets is None else targets.double()
        raw = images * pixels(case["data"]["std"]) + pixels(case["data"]["mean"])
        with torch.no_grad():
            taught = teacher((raw - pixels(case["own"]["mean"])) / pixels(case["own"]["std"]))
        logits = student.train()(images)
        task = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        soft, expected = F.log_softmax(logits / temperature, 1), F.softmax(taught / temperature, 1)
        term = F.kl_div(soft, expected, reduction="batchmean") * temperature**2
        loss = (1 - weight) * task + weight * term
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    save_safetensors(case["after"], student.state_dict())
    return losses


with open(given["losses"], "w") as file:
    json.dump([run(case) for case in given["cases"]], file)
