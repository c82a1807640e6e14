#!/usr/bin/env python3
"""Residual networks in plain PyTorch with torchvision's parameter names: the yardstick for speed and values.

Works with PyTorch 1.13 (Debian's python3-torch, run with /usr/bin/python3) and 2.x.

  torch_resnet.py time --arch resnet20 --batch 32 --threads 2 [--what train|infer] [--runs 5]
      one JSON line: median milliseconds
  torch_resnet.py golden FILE --case basic|bottleneck
      a parity case of a small width: weights, input, logits in evaluation mode; logits, loss, every
      gradient and the running statistics after one pass in training mode, in one safetensors file
"""
import torch
import torch.nn as nn

from image_peer import main, parity_case

ARCHS = {  # kernels of a block, blocks of each stage, width of the first
    "resnet20": ((3, 3), (3, 3, 3), 16),
    "resnet56": ((3, 3), (9, 9, 9), 16),
    "resnet18": ((3, 3), (2, 2, 2, 2), 64),
    "resnet50": ((1, 3, 1), (3, 4, 6, 3), 64),
}
CASES = {
    "basic": dict(kernels=(3, 3), blocks=(2, 1), width=8, size=12, stem="cifar"),
    "bottleneck": dict(kernels=(1, 3, 1), blocks=(2, 1), width=4, size=24, stem="imagenet"),
}


def conv(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, width, kernels, stride):
        super().__init__()
        outputs = width if len(kernels) == 2 else 4 * width
        sizes = [inputs] + [width] * (len(kernels) - 1) + [outputs]
        for i, kernel in enumerate(kernels):
            strided = stride if i == kernels.index(3) else 1
            setattr(self, f"conv{i + 1}", conv(sizes[i], sizes[i + 1], kernel, strided))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(sizes[i + 1]))
        self.layers, self.relu = len(kernels), nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.layers + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.layers:
                y = self.relu(y)
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, kernels, blocks, width, classes=10, stem="cifar"):
        super().__init__()
        self.conv1 = conv(3, width, 3) if stem == "cifar" else conv(3, width, 7, 2)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if stem == "cifar" else nn.MaxPool2d(3, 2, 1)
        self.stages, inputs = len(blocks), width
        for stage, count in enumerate(blocks):
            layer = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                layer.append(Block(inputs, width * 2**stage, kernels, stride))
                inputs = width * 2**stage * (1 if len(kernels) == 2 else 4)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):  # [B, 3, H, W] -> [B, classes]
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


def small(case):
    """Random weights whose BatchNorms are not the initial ones and zeros, which hide mistakes."""
    sizes = CASES[case]
    model = ResNet(sizes["kernels"], sizes["blocks"], sizes["width"], classes=5, stem=sizes["stem"])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
    with torch.no_grad():  # running statistics of real activations
        for _ in range(3):
            model(torch.randn(8, 3, sizes["size"], sizes["size"]))
    return model


def golden(case="basic"):
    model, side = small(case), CASES[case]["size"]
    x, y = torch.randn(3, 3, side, side), torch.tensor([0, 3, 4])
    with torch.no_grad():
        evaluated = model.eval()(x)
    result = parity_case(model.train(), x, y)
    result["eval_logits"] = evaluated
    result.update({f"after.{k}": v for k, v in model.named_buffers()})
    return result


if __name__ == "__main__":
    main(ARCHS, lambda arch: ResNet(*ARCHS[arch]), golden)
