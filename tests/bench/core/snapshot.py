"""Reads tensors and ids of a model file of the sidecar."""

import json
from pathlib import Path

import numpy as np

TYPES = {"F32": "<f4", "F64": "<f8", "U8": "u1", "U32": "<u4", "U64": "<u8"}


class Snapshot:
    """A model file, in the format of safetensors."""

    def __init__(self, path: Path):
        self.content = path.read_bytes()
        length = int.from_bytes(self.content[:8], "little")
        self.header = json.loads(self.content[8 : 8 + length])
        self.begin = 8 + length

    def tensor(self, name: str) -> np.ndarray:
        """Returns a tensor by its name in the crate docs of `model-snapshot`."""
        entry = self.header[name]
        first, end = (self.begin + offset for offset in entry["data_offsets"])
        return np.frombuffer(self.content[first:end], TYPES[entry["dtype"]]).reshape(entry["shape"])

    def ids(self, side: str) -> list[str]:
        """Returns the ids of `user` or `item` in row order."""
        content = self.tensor(f"{side}_ids.bytes").tobytes()
        offsets = self.tensor(f"{side}_ids.offsets").tolist()
        return [content[first:end].decode() for first, end in zip(offsets, offsets[1:])]
