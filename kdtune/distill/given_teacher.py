"""Weights that a user brings for the teacher: read, held against the study, and kept in the cache by their content.

What is kept is named by a hash of the weights themselves, so it is found again when the user's file has moved, two
studies that are given the same weights share one copy, and another way of saving them makes no other teacher.
"""

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kdtune.data import DATASETS
from kdtune.distill.weight_checks import impossible_weights
from kdtune.errors import KdtuneError, UsageError
from kdtune.files import alone_in, replaced_atomically
from kdtune.models import MODELS
from kdtune.paths import cache_dir
from kdtune.specs.study import Study

#: Keys under which training scripts put the weights beside the optimiser and the rest.
_INSIDE = ("state_dict", "model")

#: What ``DataParallel`` and ``torch.compile`` put before every name.
_PREFIXES = ("module.", "_orig_mod.")

#: How many differing names a message shows.
_SHOWN = 3

Weights = dict[str, torch.Tensor]


def kept_weights(digest: str) -> Path:
    """Where given weights are kept, or will be."""
    return cache_dir() / "teachers" / f"given-{digest}" / "teacher.pt"


@dataclass(frozen=True)
class GivenTeacher:
    """Weights that fit a study's teacher.

    Attributes:
        state: Of every tensor of the network, in its order and its types, on the CPU.
        digest: Their identity, 16 hexadecimal digits.
    """

    state: Weights
    digest: str

    def keep(self) -> None:
        """Put the weights into the cache, in place of a damaged copy too.

        Raises:
            KdtuneError: They cannot be written.
        """
        path = kept_weights(self.digest)
        try:
            with alone_in(path.parent), replaced_atomically(path) as file:
                torch.save(self.state, file)
        except OSError as error:
            raise KdtuneError(
                f"{path}: the teacher cannot be kept ({error.strerror}); make room, or set KDTUNE_CACHE_DIR to a "
                "folder on another disk"
            ) from None


def identified(study: Study, file: Path) -> Study:
    """The study with the weights in a user's file for its teacher.

    Raises:
        UsageError: The file cannot be read, or holds no weights of this teacher for this data set.
    """
    return study.model_copy(update={"teacher_weights": read_given(file, study, f"--teacher {file}").digest})


def provide(study: Study, file: Path | None) -> None:
    """See to it that the weights which a study names for its teacher are in the cache, whole.

    Args:
        study: Whose teacher; nothing is done for one that is trained.
        file: Where the user had them; need not be there any more.

    Raises:
        UsageError: They are neither in the cache nor in the file.
    """
    digest = study.teacher_weights
    if digest is None:
        return
    kept = kept_weights(digest)
    try:
        if read_given(kept, study, f"teacher_weights {digest}: {kept}").digest == digest:
            return
        fault = f"{kept}: is damaged"
    except UsageError as error:
        fault = str(error)
    if file is None or not file.is_file():
        before = f", which were in {file} when the study began" if file else ""
        raise UsageError(f"{fault}; name a file that holds the teacher's weights{before}, with --teacher FILE")
    read_same(study, file).keep()


def read_same(study: Study, file: Path) -> GivenTeacher:
    """Read the weights that a study was begun with, from a user's file.

    Raises:
        UsageError: The file cannot be read, or holds other weights.
    """
    given = read_given(file, study, f"--teacher {file}")
    if given.digest != study.teacher_weights:
        raise UsageError(
            f"--teacher {file}: holds other weights ({given.digest}) than the study was begun with "
            f"({study.teacher_weights}); name a file that holds those"
        )
    return given


def read_given(file: Path, study: Study, where: str) -> GivenTeacher:
    """Read weights and hold them against a study's teacher. Nothing but tensors is unpickled.

    Args:
        file: As ``torch.save`` wrote it: a state dict, or a table with one under ``state_dict`` or ``model``; names may
            begin with what ``DataParallel`` and ``torch.compile`` put there.
        study: Whose teacher.
        where: Begins the message.

    Raises:
        UsageError: The file cannot be read, or holds no weights of this teacher for this data set.
    """
    given = _weights_in(_loaded(file, where), where)
    channels = int(DATASETS[study.dataset].facts["shape"][0])
    classes = int(DATASETS[study.dataset].facts["classes"])
    found = _classes_if_it_is(study.teacher, given, channels)
    if found is None:
        raise UsageError(f"{where}: {_what_else(study, given, channels, classes)}")
    if found != classes:
        raise UsageError(f"{where}: has {found} classes, {study.dataset} has {classes}")
    state = {
        name: _plain(given[name], wanted.dtype) if name in given else torch.zeros(wanted.shape, dtype=wanted.dtype)
        for name, wanted in _network(study.teacher, channels, classes).items()
    }
    for problem, names in impossible_weights(given, state).items():
        raise UsageError(f"{where}: {_some(names)} {problem}")
    return GivenTeacher(state, identity_of(state))


def _loaded(file: Path, where: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's age and the like; the message is to be the only one
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"{where}: there is no such file") from None
    except OSError as error:
        raise UsageError(f"{where}: cannot be read ({error.strerror or error})") from None
    except Exception:  # whatever its unpickler and its unpacker stumble over, over many lines
        raise UsageError(
            f"{where}: cannot be read as weights alone, and what holds more than these is not opened; write it with "
            "torch.save(model.state_dict(), FILE)"
        ) from None


def _weights_in(content: Any, where: str) -> Weights:
    for key in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    weights = dict(content) if isinstance(content, Mapping) else {}
    if not weights or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in weights.items()):
        raise UsageError(
            f"{where}: holds no state dict, neither by itself nor under {' or '.join(map(repr, _INSIDE))}; write it "
            "with torch.save(model.state_dict(), FILE)"
        )
    while prefix := next((one for one in _PREFIXES if all(name.startswith(one) for name in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _network(name: str, channels: int, classes: int) -> Weights:
    """A network's tensors without their values: nothing is drawn, and no memory is taken."""
    with torch.device("meta"):
        state: Weights = MODELS.load(name)(channels, classes).state_dict()
    return state


def _classes_if_it_is(name: str, given: Weights, channels: int) -> int | None:
    """How many classes the weights tell apart if they are a network's; None if they are not."""
    last = list(_network(name, channels, 1))[-1]
    if last not in given or given[last].ndim != 1 or not len(given[last]):
        return None
    classes = len(given[last])
    return None if any(_differences(_network(name, channels, classes), given)) else classes


def _differences(wanted: Weights, given: Weights) -> tuple[list[str], list[str], list[str]]:
    """Names that are missing, that are too many, and that stand for something else, these with both shapes."""
    # Normalisation layers learned to count batches in 2018; nothing here depends on the count.
    missing = [name for name in wanted if name not in given and not name.endswith(".num_batches_tracked")]
    unlike = [
        f"{name} ({_described(given[name])} instead of {_described(wanted[name])})"
        for name in wanted
        if name in given and _described(given[name]) != _described(wanted[name])
    ]
    return missing, [name for name in given if name not in wanted], unlike


def _described(value: torch.Tensor) -> str:
    shape = "x".join(map(str, value.shape)) or "a number"
    plain = value.layout is torch.strided and not value.is_quantized and not value.is_complex()
    return shape if plain else f"{shape} {value.dtype}"


def _what_else(study: Study, given: Weights, channels: int, classes: int) -> str:
    """What weights are that are not those of the study's teacher."""
    for name in MODELS:
        if _classes_if_it_is(name, given, channels) is not None:
            return f"is a {name}, the study's teacher is {study.teacher}; --set teacher={name} takes it"
    lists = zip(
        ("missing", "unexpected", "of another shape"),
        _differences(_network(study.teacher, channels, classes), given),
        strict=True,
    )
    told = "; ".join(f"{what}: {_some(names)}" for what, names in lists if names)
    return f"is not kdtune's {study.teacher} for {study.dataset}: {told}"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _plain(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A copy that shares its memory with nothing, which would be kept along with it."""
    return value.detach().to(dtype).clone(memory_format=torch.contiguous_format)


def identity_of(state: Weights) -> str:
    """A hash of weights, 16 hexadecimal digits: of every tensor's name, type, shape and values, in their order."""
    content = hashlib.sha256()
    for name, value in state.items():
        content.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        content.update(value.cpu().numpy().tobytes())
    return content.hexdigest()[:16]
