"""The safetensors format, whose files come from anywhere."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.distill.safetensors_files import _TYPES, is_safetensors, read_safetensors
from tests.damage import damaged

TENSORS = {
    "half": torch.arange(6).reshape(2, 3).to(torch.bfloat16),
    "flags": torch.tensor([True, False, True]),
    "weight": torch.linspace(-1, 1, 5),  # begins at no multiple of four
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3),
}


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor], **entries) -> Path:
    """Write a file as the library does; ``entries`` replace what its header says."""
    names = {dtype: name for name, dtype in _TYPES.items()}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, one in tensors.items():
        raw = bytes(one.reshape(-1).view(torch.uint8).tolist()) if one.numel() else b""
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": names[one.dtype], "shape": list(one.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps({**header, **entries}).encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_every_tensor_is_read_with_its_type_and_shape(tmp_path):
    read = read_safetensors(write_safetensors(tmp_path / "x", TENSORS))
    assert list(read) == list(TENSORS)
    for name, one in TENSORS.items():
        assert read[name].dtype == one.dtype and torch.equal(read[name], one)


def test_a_file_is_recognised_by_its_name_or_its_beginning(tmp_path):
    written = write_safetensors(tmp_path / "x.pt", TENSORS)
    assert is_safetensors(written, written.read_bytes()[:512])
    assert is_safetensors(tmp_path / "cut-short.safetensors", b"")
    torch.save(TENSORS, tmp_path / "y.pt")
    assert not is_safetensors(tmp_path / "y.pt", (tmp_path / "y.pt").read_bytes()[:512])


@pytest.mark.parametrize(
    "entry, told",
    [
        ({"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}, "overlap, or leave gaps"),
        ({"dtype": "F32", "shape": [1 << 62], "data_offsets": [15, 15 + (1 << 64)]}, "nothing sensible of weight"),
        ({"dtype": "F32", "shape": [1 << 60], "data_offsets": [15, 15 + (1 << 62)]}, "overlap, or leave gaps"),
        ({"dtype": "F32", "shape": [2] * 100, "data_offsets": [15, 35]}, "nothing sensible of weight"),
        ({"dtype": "F32", "shape": [6], "data_offsets": [15, 35]}, "other bytes than its shape needs"),
        ({"dtype": "F32", "shape": [-5], "data_offsets": [15, -5]}, "nothing sensible of weight"),
        ({"dtype": "F32", "shape": [5.0], "data_offsets": [15, 35]}, "nothing sensible of weight"),
        ({"dtype": "F32", "shape": 5, "data_offsets": [15, 35]}, "nothing sensible of weight"),
        ({"dtype": "F32", "shape": [5], "data_offsets": [15]}, "nothing sensible of weight"),
        ({"dtype": "F8_E4M3", "shape": [20], "data_offsets": [15, 35]}, "of the type 'F8_E4M3'"),
        ({"dtype": ["F32"], "shape": [5], "data_offsets": [15, 35]}, "of the type ..F32"),
        (None, "nothing sensible of weight"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_fit_the_file_is_refused(tmp_path, entry, told):
    with pytest.raises(ValueError, match=told):
        read_safetensors(write_safetensors(tmp_path / "x", TENSORS, weight=entry))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path, data):
    path = write_safetensors(tmp_path / "x", TENSORS)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    with suppress(ValueError):
        assert all(isinstance(one, torch.Tensor) for one in read_safetensors(path).values())
