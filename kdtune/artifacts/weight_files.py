"""Reading weights from files of other programs, without running any code that the files contain."""

import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kdtune.errors import UsageError

Weights = dict[str, torch.Tensor]

HOW_TO_WRITE = "write it with torch.save(model.state_dict(), FILE)"

#: Components of names that ``DataParallel``, ``AveragedModel`` and ``torch.compile`` insert.
_WRAPPERS = {"module", "_orig_mod"}

#: Name of the counter that ``AveragedModel`` stores with the averaged weights.
_AVERAGED = "n_averaged"

#: Matches the keys and prefixes of moving averages of weights.
_AVERAGE = re.compile(r"(?i)(?<![a-z])(ema|swa|averaged?|shadow)(?![a-z])")

#: Maximum depth of nested state dicts that are searched.
_DEPTH = 3


class _Beside:
    """Placeholder for an unneeded value that was saved with the weights: its class is not imported or called."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


#: Types that training scripts save with the weights and that ``torch.load`` refuses by default.
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Beside, name)
    for name in (
        "numpy.dtype",
        "numpy.ndarray",
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        "argparse.Namespace",
        "pathlib.PosixPath",
        "pathlib._local.PosixPath",
    )
]


@dataclass(frozen=True, eq=False)
class StateDict:
    """Tensors by name, found in a file.

    Attributes:
        keys: Keys that lead to the state dict.
        prefix: Prefix of all names in the file, which is removed from the names here.
        weights: The tensors.
        beside: Names of the tensors in the same state dict that do not begin with the prefix.
        has_count: Whether the state dict contains the counter of an average of networks.
    """

    keys: tuple[str, ...]
    prefix: str
    weights: Weights
    beside: tuple[str, ...] = ()
    has_count: bool = False

    @property
    def is_average(self) -> bool:
        """Whether the names show that these are a moving average of weights."""
        return self.has_count or any(_AVERAGE.search(name) for name in (*self.keys, self.prefix))

    def __str__(self) -> str:
        place = " ".join(f"in {key!r}" for key in reversed(self.keys)) or "at the top level"
        return f"{place} with the prefix {self.prefix!r}" if self.prefix else place


def state_dicts_in(content: Any, own_parts: Set[str], keys: tuple[str, ...] = ()) -> Iterator[StateDict]:
    """Yield every state dict with tensors in a file's content, the outermost first.

    Args:
        content: The content, or a part of it.
        own_parts: Components of the names of the network's own tensors, which are not taken for those of wrappers.
        keys: Keys that lead to the content.
    """
    if not isinstance(content, Mapping):
        return
    tensors = {name: one for name, one in content.items() if isinstance(name, str) and isinstance(one, torch.Tensor)}
    count = tensors.pop(_AVERAGED, None)
    if tensors:
        yield StateDict(keys, "", _unwrapped(tensors, _WRAPPERS - own_parts), has_count=count is not None)
    for key, inner in content.items():
        if isinstance(key, str) and len(keys) < _DEPTH:
            yield from state_dicts_in(inner, own_parts, (*keys, key))


def parts_of(state_dict: StateDict, names: Iterable[str]) -> Iterator[StateDict]:
    """Yield the parts of a state dict that contain a tensor of one of the names, one part for each prefix."""
    prefixes = {
        found.removesuffix(name) for name in names for found in state_dict.weights if f".{found}".endswith(f".{name}")
    }
    for prefix in sorted(prefixes):
        if not prefix:
            yield state_dict
            continue
        weights = {one.removeprefix(prefix): v for one, v in state_dict.weights.items() if one.startswith(prefix)}
        beside = tuple(one for one in state_dict.weights if not one.startswith(prefix))
        yield StateDict(state_dict.keys, prefix, weights, beside, state_dict.has_count)


def _unwrapped(tensors: Weights, wrappers: Set[str]) -> Weights:
    """Return the tensors with the names that they had before the network was wrapped."""
    plain = {".".join(p for p in name.split(".") if p not in wrappers): one for name, one in tensors.items()}
    return plain if len(plain) == len(tensors) else tensors


def read_weight_file(file: Path, where: str) -> Any:
    """Return a file's content, with placeholders for objects that are neither tensors nor plain values.

    Args:
        file: File written by ``torch.save``, or a safetensors file.
        where: Beginning of error messages.

    Raises:
        UsageError: The file cannot be read, has another format, or contains objects that could run code.
    """
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise UsageError(f"{where}: is a pipe or a device; copy its content to a file")
        with file.open("rb") as stream:
            head = stream.read(512)
        if fault := _other_kind(file, head):
            raise UsageError(f"{where}: {fault}")
        if _is_safetensors(file, head):
            from safetensors.torch import load

            return load(file.read_bytes())  # a copy, which outlives a change of the file
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")  # such as about old pickles; users should see one message only
            return torch.load(file, map_location="cpu", weights_only=True)
    except UsageError:
        raise
    except FileNotFoundError:
        raise UsageError(f"{where}: there is no such file") from None
    except OSError as error:
        raise UsageError(f"{where}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # unpicklers and unpackers raise all kinds of errors, some with long messages
        raise UsageError(f"{where}: {_why_unreadable(file, head, error)}") from None


def _is_safetensors(file: Path, head: bytes) -> bool:
    """Return whether a file has the safetensors format, by its name or its first bytes: a length, then JSON."""
    return file.suffix == ".safetensors" or (head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32)


def _other_kind(file: Path, head: bytes) -> str:
    """Return a description of a file that cannot contain weights; empty if it may contain some."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "is empty; download or copy it again"
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a Git LFS pointer, not the file itself; fetch the file with 'git lfs pull'"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not weights (as when a download asks for a login or a confirmation); download it again"
    if head.startswith(b"\x1f\x8b"):
        return "is compressed with gzip; unpack it first"
    if head.startswith(b"PK") and not zipfile.is_zipfile(file):
        return "is cut short: the end of its archive is missing; download or copy it again"
    return ""


def _why_unreadable(file: Path, head: bytes, error: Exception) -> str:
    if _is_safetensors(file, head):
        return f"is not a complete safetensors file ({error}); download or copy it again"
    refused = re.search(r"GLOBAL (\S+)", str(error))
    why = f"it contains {refused[1]}" if refused else "it is damaged, or torch.save did not write it"
    return f"is refused, since only files with nothing but weights are opened ({why}); {HOW_TO_WRITE}"
