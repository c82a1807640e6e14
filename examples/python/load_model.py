#!/usr/bin/env python3
"""Loads a model of mamba-prune, dense or pruned, into PyTorch. Needs torch alone. MODEL may be a folder too, such as a
repository of the Hugging Face Hub, whose model.safetensors is meant.

  load_model.py MODEL.safetensors                 what the file holds
  load_model.py MODEL.safetensors --images FILE   the logits of a safetensors file's `images`, as JSON

In a program of your own:

  from load_model import load_model
  model, info = load_model("pruned.safetensors")
  logits = model((pixels / 255 - info["mean"]) / info["std"])   # pixels: [batch, channels, side, side]

With prepare.py beside it, and numpy and Pillow, `torch.from_numpy(read_image("photo.jpg", info))` are such pixels.
"""
import argparse
import json
import os
import struct

import torch

from models import FAMILIES

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
}


def read_safetensors(path):
    """The tensors of a file by name, and its metadata. https://github.com/huggingface/safetensors"""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        if begin == end:
            tensors[name] = torch.empty(entry["shape"], dtype=dtype)
            continue
        # A copy of its own: the bytes of a tensor need not lie at a multiple of its element's size.
        values = torch.frombuffer(data[begin:end], dtype=dtype)
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata


def load_model(path):
    """The model in evaluation mode, and what its file says: classes, mean and std (tensors that broadcast
    over images), the configuration and how the model was made."""
    if os.path.isdir(path):
        path = os.path.join(path, "model.safetensors")
    tensors, metadata = read_safetensors(path)
    if "mamba_prune" not in metadata:
        raise ValueError(f"{path}: no metadata 'mamba_prune', expected a model written by mamba-prune")
    info = json.loads(metadata["mamba_prune"])
    config = info["model"]
    model = FAMILIES[config["family"]](config)
    model.load_state_dict(tensors)
    for key in ("mean", "std"):
        info[key] = torch.tensor(info[key]).view(1, -1, 1, 1)
    return model.eval(), info


def main():
    parser = argparse.ArgumentParser(description="A model of mamba-prune in PyTorch.")
    parser.add_argument("model", help="a .safetensors file, or a folder with model.safetensors")
    parser.add_argument("--images", help="safetensors with `images`, [batch, channels, side, side], 0 to 255")
    args = parser.parse_args()
    try:
        model, info = load_model(args.model)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    config = info["model"]
    if args.images is None:
        count = sum(parameter.numel() for parameter in model.parameters())
        print(f"{config['arch']}: {count:,} parameters, {config['imageSize']} px, {config['numClasses']} classes")
        for name, width in config["widths"].items():
            print(f"  {name:16} {width}")
        return
    images = read_safetensors(args.images)[0]["images"].float()
    with torch.no_grad():
        print(json.dumps(model((images / 255 - info["mean"]) / info["std"]).tolist()))


if __name__ == "__main__":
    main()
