#!/usr/bin/env python3
"""Classifies image files with a model that `mamba-prune export` wrote. Needs onnxruntime, numpy and Pillow.

  run_onnx.py MODEL.onnx IMAGE...
"""
import argparse
import json

import numpy as np
import onnxruntime
from PIL import Image


def open_model(path):
    """The session, and what the file says of the model: classes, input size, normalisation (which the graph
    does itself) and more."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    return session, json.loads(metadata["mamba_prune"])


def read_image(path, config):
    """uint8 [channels, side, side]: the shorter side resized, the centre cut out."""
    side = config["imageSize"]
    image = Image.open(path).convert("RGB" if config["channels"] == 3 else "L")
    scale = side / min(image.size)
    image = image.resize([max(side, round(length * scale)) for length in image.size], Image.BICUBIC)
    left, top = [(length - side) // 2 for length in image.size]
    pixels = np.asarray(image.crop((left, top, left + side, top + side)))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def classify(session, images):
    """Probabilities [batch, classes] of uint8 images [batch, channels, side, side]."""
    (given,) = session.get_inputs()
    if given.type == "tensor(float)":
        images = images.astype(np.float32) / 255
    return session.run(["probabilities"], {given.name: images})[0]


def main():
    parser = argparse.ArgumentParser(description="Classifies images with an ONNX model of mamba-prune.")
    parser.add_argument("model")
    parser.add_argument("images", nargs="+")
    args = parser.parse_args()
    session, info = open_model(args.model)
    images = np.stack([read_image(path, info["model"]) for path in args.images])
    for path, row in zip(args.images, classify(session, images)):
        best = int(row.argmax())
        print(f"{path}: {info['classes'][best]} {100 * row[best]:.1f}%")


if __name__ == "__main__":
    main()
