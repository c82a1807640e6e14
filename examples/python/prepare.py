"""Image files as a model of mamba-prune takes them. Needs numpy and Pillow (13 for the same bits; older ones round
pictures that are more than twice as high as wide differently, by one level).

Sizes are rounded as torchvision's Resize and CenterCrop round them, and Pillow resizes, so this is

  transforms.Compose([Resize(int(size / cropShare), interpolation), CenterCrop(size)])

on the picture turned upright, but for pictures of the model's size, which are taken as they are.
"""
import math

import numpy as np
from PIL import Image, ImageOps

# Their pictures have the model's size; all others come from folders.
FIXED = {"fashion-mnist", "mnist", "cifar10", "cifar100", "tiny-imagenet"}


def preprocessing_of(info):
    """How to prepare: the record in a model's file. Files of older versions have none; they were measured so."""
    if "preprocessing" in info:
        return info["preprocessing"]
    if info.get("dataset") in FIXED:
        return {"interpolation": "bilinear", "cropShare": 1}
    size = info["model"]["imageSize"]
    return {"interpolation": "bilinear", "cropShare": size / (math.floor(size / 0.875 + 0.5) + 0.5)}


def open_image(path, channels):
    """The picture upright, grey or RGB, without its colour profile; alpha is dropped."""
    opened = Image.open(path)
    # Of a GIF, where the first picture lies in its screen.
    frame = opened.tile[0][1] if opened.format == "GIF" else None
    # Without EXIF, Pillow would look for an orientation in XMP, which no other decoder follows.
    for key in ("xmp", "XML:com.adobe.xmp"):
        opened.info.pop(key, None)
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16") or (image.mode == "I" and opened.format in ("PNG", "PPM")):
        # The upper byte: Pillow's own conversion clips at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif frame is not None:
        # Black where nothing is, as other decoders have it; Pillow would take a colour of the palette.
        black = Image.new("RGB", image.size)
        alpha = image.convert("RGBA").getchannel("A")
        black.paste(image.convert("RGB").crop(frame), frame, alpha.crop(frame))
        image = black
    image = image.convert("RGB")
    return image if channels == 3 else image.convert("L")


def prepare(image, size, interpolation, cropShare):
    """Pillow's image as size x size: the shorter side resized, the centre cut out."""
    if image.size == (size, size):
        return image
    shorter = math.floor(size / cropShare)
    width, height = image.size
    if width <= height:
        resized = (shorter, int(shorter * height / width))
    else:
        resized = (int(shorter * width / height), shorter)
    image = image.resize(resized, {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}[interpolation])
    left, top = [int(round((length - size) / 2)) for length in image.size]
    return image.crop((left, top, left + size, top + size))


def read_image(path, info):
    """uint8 [channels, size, size]. `info`: what a model's file says of it (its metadata `mamba_prune`)."""
    model = info["model"]
    image = prepare(open_image(path, model["channels"]), model["imageSize"], **preprocessing_of(info))
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
