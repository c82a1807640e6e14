#!/usr/bin/env python3
"""Classifies image files with a model that `mamba-prune export` wrote. Needs onnxruntime, numpy and Pillow.

  run_onnx.py MODEL.onnx IMAGE...
  run_onnx.py FOLDER IMAGE...       a folder of `export --format hf`
"""
import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime

from prepare import read_image


def open_model(path):
    """Of a file, or of a folder of the Hugging Face Hub: the session, and what the file says of the model: classes, input size, how images are prepared,
    normalisation (which the graph does itself) and more."""
    file = Path(path) / "onnx" / "model.onnx" if Path(path).is_dir() else path
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    return session, json.loads(metadata["mamba_prune"])


def classify(session, info, images):
    """Probabilities [batch, classes] of uint8 images [batch, channels, side, side]."""
    (given,) = session.get_inputs()
    if given.type == "tensor(float)":
        images = images.astype(np.float32) / 255
    if given.name == "pixel_values":
        # As image processors of transformers give it: normalised, and RGB for a model that sees grey, too.
        mean, std = (np.float32(info[key]).reshape(1, -1, 1, 1) for key in ("mean", "std"))
        images = np.repeat((images - mean) / std, 3 // images.shape[1], axis=1)
    return session.run(["probabilities"], {given.name: images})[0]


def main():
    parser = argparse.ArgumentParser(description="Classifies images with an ONNX model of mamba-prune.")
    parser.add_argument("model", help="an .onnx file, or a folder of export --format hf")
    parser.add_argument("images", nargs="+")
    args = parser.parse_args()
    for path in [args.model, *args.images]:
        if not Path(path).exists():
            parser.error(f"{path} does not exist, expected a model and images")
    session, info = open_model(args.model)
    images = np.stack([read_image(path, info) for path in args.images])
    for path, row in zip(args.images, classify(session, info, images)):
        best = int(row.argmax())
        # A model from another program may have no names.
        name = info["classes"][best] if info["classes"] else f"class {best}"
        print(f"{path}: {name} {100 * row[best]:.1f}%")


if __name__ == "__main__":
    main()
