"""The peer of loader.mjs: Pillow's random resized crop (torchvision's boxes), bicubic, flipped and normalised by numpy.

    python3 loader_pillow.py DIR --processes 2 --seconds 5 [--crops]

prints one JSON line. Each process works by itself on every file, as the workers of a DataLoader do; `--crops` leaves out
the flip and the normalisation.
"""
import argparse
import glob
import json
import math
import multiprocessing
import os
import random
import time

import numpy as np
import PIL
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SCALE, BIAS = 1 / (255 * STD), -MEAN / STD


def box_of(width, height):
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return (left, top, left + w, top + h)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side)


def image_of(path, size, crops):
    with open(path, "rb") as file:
        picture = Image.open(file).convert("RGB")
    square = picture.crop(box_of(*picture.size)).resize((size, size), Image.BICUBIC)
    if crops:
        return np.asarray(square)
    if random.random() < 0.5:
        square = square.transpose(Image.FLIP_LEFT_RIGHT)
    return np.ascontiguousarray((np.asarray(square, np.float32) * SCALE + BIAS).transpose(2, 0, 1))


def work(job):
    paths, size, crops, seconds, seed = job
    random.seed(seed)
    random.shuffle(paths)
    for path in paths[:20]:
        image_of(path, size, crops)
    count, start, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        image_of(paths[count % len(paths)], size, crops)
        count += 1
    return count, time.perf_counter() - start, time.process_time() - busy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--crops", action="store_true")
    args = parser.parse_args()
    paths = sorted(glob.glob(os.path.join(args.dir, "train", "*", "*")))
    jobs = [(paths[:], args.size, args.crops, args.seconds, seed) for seed in range(args.processes)]
    with multiprocessing.Pool(args.processes) as pool:
        done = pool.map(work, jobs)
    rate = sum(count / elapsed for count, elapsed, _ in done)
    cpu = sum(busy for _, _, busy in done) / sum(count for count, _, _ in done)
    print(json.dumps({"imagesPerSecond": rate, "cpuMicroseconds": 1e6 * cpu, "version": f"Pillow {PIL.__version__}"}))


if __name__ == "__main__":
    main()
