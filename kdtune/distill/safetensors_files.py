"""The safetensors format, read without its library.

A file holds the length of its header (8 bytes, little-endian), the header (JSON: of every tensor its type, its shape
and where it begins and ends) and the tensors' bytes, one after the other. See
https://github.com/huggingface/safetensors#format.
"""

import math
from pathlib import Path
from typing import Any

import torch

from kdtune.parsing import parse_json

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

#: The library's own limit on the header.
_MOST_HEADER_BYTES = 100_000_000

#: Of a tensor in torch.
_MOST_DIMENSIONS = 64


def is_safetensors(path: Path, head: bytes) -> bool:
    """Whether a file is meant to be of this format, by its name or its first bytes."""
    size = int.from_bytes(head[:8], "little")
    return path.suffix == ".safetensors" or (head[8:9] == b"{" and size <= _MOST_HEADER_BYTES)


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file, by name.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not of this format, or it is damaged or cut short.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= _MOST_HEADER_BYTES:
            raise ValueError("it has no header")
        header = parse_json(file.read(size))
        data = memoryview(file.read())
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    header.pop("__metadata__", None)
    entries = {name: _checked(name, entry) for name, entry in header.items()}
    end = 0
    for begin, after in sorted((begin, after) for _, _, begin, after in entries.values()):
        if begin != end:
            raise ValueError("its tensors overlap, or leave gaps")
        end = after
    if end != len(data):
        raise ValueError(f"its tensors take {end} bytes, and it has {len(data)}")
    return {
        # A copy of the bytes, since a tensor's memory has to be aligned and writable.
        name: torch.frombuffer(bytearray(data[begin:after]), dtype=dtype).reshape(shape)
        if after > begin
        else torch.empty(shape, dtype=dtype)
        for name, (dtype, shape, begin, after) in entries.items()
    }


def _checked(name: str, entry: Any) -> tuple[torch.dtype, list[int], int, int]:
    """A tensor's type, its shape, and where its bytes begin and end."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = (*shape, begin, end)
        if (
            not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)
            or len(shape) > _MOST_DIMENSIONS
        ):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"its header says nothing sensible of {name}") from None
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise ValueError(f"{name} is of the type {dtype!r}; known: {', '.join(_TYPES)}")
    if end - begin != math.prod(shape) * _TYPES[dtype].itemsize:
        raise ValueError(f"{name} has other bytes than its shape needs")
    return _TYPES[dtype], shape, begin, end
