"""Weights that a user brings for the teacher: read, held against the study, and kept in the cache by their content.

What is kept is named by a hash of the weights themselves, so it is found again when the user's file has moved, two
studies that are given the same weights share one copy, and another way of saving them makes no other teacher.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from kdtune.artifacts.weight_checks import impossible_weights
from kdtune.artifacts.weight_files import HOW_TO_WRITE, Table, Weights, parts_of, read_weight_file, tables_in
from kdtune.catalog.builtin import MODELS
from kdtune.errors import KdtuneError, Remark, UsageError
from kdtune.models.building import build_network
from kdtune.specs.component import Component
from kdtune.specs.study import Study
from kdtune.storage.files import alone_in, replaced_atomically
from kdtune.storage.paths import cache_dir

#: How many differing names a message shows.
_SHOWN = 3


def kept_weights(digest: str) -> Path:
    """Where given weights are kept, or will be."""
    return cache_dir() / "teachers" / f"given-{digest}" / "teacher.pt"


@dataclass(frozen=True)
class GivenTeacher:
    """Weights that fit a study's teacher.

    Attributes:
        state: Of every tensor of the network, in its order and its types, on the CPU.
        digest: Their identity, 16 hexadecimal digits.
        remarks: What a user should know of how they were found in the file.
    """

    state: Weights
    digest: str
    remarks: tuple[str, ...] = ()

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

    What a user should know of the choice of weights is a :class:`~kdtune.errors.Remark`.

    Raises:
        UsageError: The file cannot be read, or holds no weights of this teacher for this data set.
    """
    given = read_given(file, study, f"--teacher {file}")
    for remark in given.remarks:
        warnings.warn(Remark(f"--teacher {file}: {remark}"), stacklevel=2)
    return study.model_copy(update={"teacher_weights": given.digest})


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
    """Read weights and compare them with a study's teacher. Nothing that the file holds is run.

    Args:
        file: As ``torch.save`` wrote it, or a safetensors file. The weights may lie under a key (``state_dict``,
            ``model_state_dict``, ``net``, ...), and their names may begin with a prefix (``model.``, ``module.``, ...).
        study: Whose teacher.
        where: Begins the message.

    Raises:
        UsageError: The file cannot be read, or holds no weights of this teacher for this data set, or several.
    """
    content = read_weight_file(file, where)
    channels, classes = study.data_info.shape[0], study.data_info.classes
    tables = list(tables_in(content))
    if not tables:
        keys = f"; its keys are {_some(map(repr, content))}" if isinstance(content, Mapping) and content else ""
        raise UsageError(f"{where}: holds no state dict{keys}; {HOW_TO_WRITE}")
    fitting = _fitting(study.teacher, tables, channels)
    if not fitting:
        raise UsageError(f"{where}: {_what_else(study, tables, channels, classes)}")
    if classes not in fitting.values():
        raise UsageError(f"{where}: has {next(iter(fitting.values()))} classes, {study.dataset} has {classes}")
    network = _network(study.teacher, channels, classes)
    states = {table: _state(table, network) for table, found in fitting.items() if found == classes}
    taken = _the_one_meant(states, study, where)
    state = states[taken]
    for problem, names in impossible_weights(taken.weights, state).items():
        raise UsageError(f"{where}: {_some(names)} {problem}")
    return GivenTeacher(state, identity_of(state), tuple(_remarks(taken, states)))


def _fitting(network: Component, tables: Iterable[Table], channels: int) -> dict[Table, int]:
    """The tables that are a network's weights, each with how many classes it tells apart."""
    last = list(_network(network, channels, 1))[-1]
    parts = (part for table in tables for part in parts_of(table, last))
    found = {part: _classes_if_it_is(network, part.weights, channels) for part in parts}
    return {part: classes for part, classes in found.items() if classes is not None}


def _state(table: Table, network: Weights) -> Weights:
    """All of the network's tensors, in its order and its types."""
    given = table.weights
    return {
        name: _plain(given[name], wanted.dtype) if name in given else torch.zeros(wanted.shape, dtype=wanted.dtype)
        for name, wanted in network.items()
    }


def _the_one_meant(states: Mapping[Table, Weights], study: Study, where: str) -> Table:
    """The weights to take where a file holds several that fit: those that are no average of others.

    Raises:
        UsageError: It cannot be known which are meant.
    """
    plain = [table for table in states if not table.is_average] or list(states)
    if len({identity_of(states[table]) for table in plain}) > 1:
        raise UsageError(
            f"{where}: holds several weights of {study.teacher}, {_some(map(str, plain))}; save those that you mean "
            "in a file of their own"
        )
    return plain[0]


def _remarks(taken: Table, states: Iterable[Table]) -> Iterator[str]:
    """What a user should know of the choice that was made."""
    if averages := [table for table in states if table.is_average and not taken.is_average]:
        yield (
            f"the weights {taken} were taken, not their moving average {_some(map(str, averages))}; to use that, save "
            "it in a file of its own"
        )
    used = tuple(table.prefix for table in states if table.keys == taken.keys)
    if ignored := [name for name in taken.beside if not name.startswith(used)]:
        yield f"the weights {taken} were taken; not used beside them: {_some(ignored)}"


def _network(network: Component, channels: int, classes: int) -> Weights:
    """A network's tensors without their values: nothing is drawn, and no memory is taken."""
    with torch.device("meta"):
        state: Weights = build_network(network, channels, classes).state_dict()
    return state


def _classes_if_it_is(network: Component, given: Weights, channels: int) -> int | None:
    """How many classes the weights tell apart if they are a network's; None if they are not."""
    last = list(_network(network, channels, 1))[-1]
    if last not in given or given[last].ndim != 1 or not len(given[last]):
        return None
    classes = len(given[last])
    return None if any(_differences(_network(network, channels, classes), given)) else classes


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


def _what_else(study: Study, tables: list[Table], channels: int, classes: int) -> str:
    """What weights are that are not those of the study's teacher."""
    for name in MODELS:
        if _fitting(Component(name=name), tables, channels):
            return f"is a {name}, the study's teacher is {study.teacher}; --set teacher={name} takes it"
    network = _network(study.teacher, channels, classes)
    last = list(network)[-1]
    parts = [part for table in tables for part in parts_of(table, last)] or tables
    closest = max(parts, key=lambda part: len(network.keys() & part.weights.keys()))
    lists = zip(("missing", "unexpected", "of another shape"), _differences(network, closest.weights), strict=True)
    told = "; ".join(f"{what}: {_some(names)}" for what, names in lists if names)
    place = f" (tensors were found {_some(map(str, tables))})" if closest.keys else ""
    return f"is not kdtune's {study.teacher} for {study.dataset}: {told}{place}"


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
