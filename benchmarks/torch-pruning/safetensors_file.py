"""Reads safetensors without the package of that name, which the machine of a benchmark may lack."""
import json
import struct

import torch

TYPES = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32, "I64": torch.int64}


def read_safetensors(path):
    """@returns tensors by name, on the CPU"""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    return {name: tensor_of(data, entry) for name, entry in header.items()}


def tensor_of(data, entry):
    begin, end = entry["data_offsets"]
    if begin == end:
        return torch.zeros(entry["shape"], dtype=TYPES[entry["dtype"]])
    part = torch.frombuffer(data[begin:end], dtype=TYPES[entry["dtype"]])
    return part.reshape(entry["shape"]).clone()
