"""Teacher weights that a user gives: they are read, compared with the study, and kept in the cache.

The cached copy is named by a hash of the weights. It is therefore found after the user's file has moved, studies with
the same weights share one copy, and the way in which the weights were saved does not matter.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from kdtune.artifacts.network_shapes import COUNTER, NetworkShapes, Sizes, differences
from kdtune.artifacts.weight_checks import impossible_weights
from kdtune.artifacts.weight_files import HOW_TO_WRITE, StateDict, Weights, parts_of, read_weight_file, state_dicts_in
from kdtune.catalog.builtin import MODELS, models_of
from kdtune.errors import KdtuneError, Remark, UsageError
from kdtune.specs.component import Component
from kdtune.specs.study import Study
from kdtune.storage.files import exclusive_lock, replaced_atomically
from kdtune.storage.paths import cache_dir
from kdtune.storage.wording import counted

#: Number of names that a message shows at most.
_SHOWN = 3


def kept_weights(digest: str) -> Path:
    """Return the path of given weights in the cache, which need not exist yet."""
    return cache_dir() / "teachers" / f"given-{digest}" / "teacher.pt"


@dataclass(frozen=True)
class GivenTeacher:
    """Weights that fit a study's teacher.

    Attributes:
        state: All tensors of the network, in its order and its types, on the CPU.
        digest: Hash of the weights, 16 hexadecimal digits.
        remarks: Remarks for the user about the choice of weights in the file.
    """

    state: Weights
    digest: str
    remarks: tuple[str, ...] = ()

    def keep(self) -> None:
        """Write the weights to the cache, replacing a damaged copy if there is one.

        Raises:
            KdtuneError: The weights cannot be written.
        """
        path = kept_weights(self.digest)
        try:
            with exclusive_lock(path.parent), replaced_atomically(path) as file:
                torch.save(self.state, file)
        except OSError as error:
            raise KdtuneError(
                f"{path}: the teacher cannot be written ({error.strerror}); make room, or set KDTUNE_CACHE_DIR to a "
                "folder on another disk"
            ) from None


def with_given_teacher(study: Study, file: Path) -> Study:
    """Return the study with the weights of a user's file as its teacher.

    Remarks about the choice of weights are issued as :class:`~kdtune.errors.Remark` warnings.

    Raises:
        UsageError: The file cannot be read, or contains no weights of this teacher for this data set; or the study
            trains another teacher for each repeat.
    """
    if "teacher" in study.vary:
        raise UsageError(
            f"--teacher {file}: the study varies the teacher between repeats, so it has to train them; leave --teacher "
            'out, or remove "teacher" from vary'
        )
    given = read_given(file, study, f"--teacher {file}")
    for remark in given.remarks:
        warnings.warn(Remark(f"--teacher {file}: {remark}"), stacklevel=2)
    return study.model_copy(update={"teacher_weights": given.digest})


def provide(study: Study, file: Path | None) -> None:
    """Make sure that the cache has an undamaged copy of the weights that a study names for its teacher.

    Args:
        study: The study. Nothing is done if its teacher is trained.
        file: File from which the user gave the weights; it need not exist any more.

    Raises:
        UsageError: The weights are neither in the cache nor in the file.
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
        before = f", which were in {file} when the study was started" if file else ""
        raise UsageError(f"{fault}; name a file that contains the teacher's weights{before}, with --teacher FILE")
    read_same(study, file).keep()


def read_same(study: Study, file: Path) -> GivenTeacher:
    """Read the weights with which a study was started from a user's file.

    Raises:
        UsageError: The file cannot be read, or contains other weights.
    """
    given = read_given(file, study, f"--teacher {file}")
    if given.digest != study.teacher_weights:
        raise UsageError(
            f"--teacher {file}: contains other weights ({given.digest}) than those with which the study was started "
            f"({study.teacher_weights}); name a file with the original weights"
        )
    return given


def read_given(file: Path, study: Study, where: str) -> GivenTeacher:
    """Read weights and compare them with a study's teacher, without running any code from the file.

    Args:
        file: File written by ``torch.save``, or a safetensors file. The weights may be stored under a key
            (``state_dict``, ``model_state_dict``, ``net``, ...), and their names may begin with a prefix (``model.``,
            ``module.``, ...).
        study: The study.
        where: Beginning of error messages.

    Raises:
        UsageError: The file cannot be read, or contains no weights of this teacher for this data set, or several.
    """
    content = read_weight_file(file, where)
    shapes = NetworkShapes(study.teacher, Sizes(study.data_info.shape[0], study.data_info.classes))
    state_dicts = list(state_dicts_in(content, own_parts={part for name in shapes.tensors for part in name.split(".")}))
    if not state_dicts:
        keys = f"; its keys are {_some(map(repr, content))}" if isinstance(content, Mapping) and content else ""
        raise UsageError(f"{where}: contains no state dict{keys}; {HOW_TO_WRITE}")
    fitting = _fitting(shapes, state_dicts)
    if not fitting:
        raise UsageError(f"{where}: {_what_else(study, shapes, state_dicts)}")
    if shapes.sizes not in fitting.values():
        part, sizes = next(iter(fitting.items()))
        raise UsageError(f"{where}: {_other_sizes(study, shapes, part.weights, sizes)}")
    states = {part: _state(part, shapes.tensors) for part, sizes in fitting.items() if sizes == shapes.sizes}
    taken = _the_one_meant(states, study, where)
    state = states[taken]
    for problem, names in impossible_weights(taken.weights, state, shapes.constants).items():
        raise UsageError(f"{where}: {_some(names)} {problem}")
    return GivenTeacher(state, identity_of(state), tuple(_remarks(taken, states)))


def _fitting(shapes: NetworkShapes, state_dicts: Iterable[StateDict]) -> dict[StateDict, Sizes]:
    """Return the state dicts that fit a network, each with the sizes with which it fits."""
    found = {part: shapes.sizes_of(part.weights) for part in _parts(shapes, state_dicts)}
    return {part: sizes for part, sizes in found.items() if sizes is not None}


def _parts(shapes: NetworkShapes, state_dicts: Iterable[StateDict]) -> list[StateDict]:
    """Return the parts of state dicts that may be the network, recognised by its first or last tensor."""
    names = [name for name in shapes.tensors if not name.endswith(COUNTER)]
    return [part for state_dict in state_dicts for part in parts_of(state_dict, {names[0], names[-1]})]


def _state(state_dict: StateDict, network: Weights) -> Weights:
    """Return all tensors of the network, in its order and its types."""
    given = state_dict.weights
    return {
        name: _plain(given[name], wanted.dtype) if name in given else torch.zeros(wanted.shape, dtype=wanted.dtype)
        for name, wanted in network.items()
    }


def _the_one_meant(states: Mapping[StateDict, Weights], study: Study, where: str) -> StateDict:
    """Return the state dict to use if several fit: the one that is not an average of others.

    Raises:
        UsageError: Several different ones remain.
    """
    plain = [state_dict for state_dict in states if not state_dict.is_average] or list(states)
    if len({identity_of(states[state_dict]) for state_dict in plain}) > 1:
        raise UsageError(
            f"{where}: contains several sets of weights of {study.teacher}, {_some(map(str, plain))}; save the ones "
            "that you mean in a separate file"
        )
    return plain[0]


def _remarks(taken: StateDict, states: Iterable[StateDict]) -> Iterator[str]:
    """Yield remarks for the user about the choice of weights."""
    if averages := [state_dict for state_dict in states if state_dict.is_average and not taken.is_average]:
        yield (
            f"the weights {taken} were used, not their moving average {_some(map(str, averages))}; to use the average, "
            "save it in a separate file"
        )
    used = tuple(state_dict.prefix for state_dict in states if state_dict.keys == taken.keys)
    if ignored := [name for name in taken.beside if not name.startswith(used)]:
        yield f"the weights {taken} were used; other tensors were ignored: {_some(ignored)}"


def _other_sizes(study: Study, shapes: NetworkShapes, given: Weights, sizes: Sizes) -> str:
    """Describe weights of the study's teacher for another number of classes or channels."""
    wanted, theirs, ours, remedy = shapes.sizes, [], [], ""
    if sizes.channels != wanted.channels:
        theirs.append(f"images of {counted(sizes.channels, 'channel')}")
        ours.append(counted(wanted.channels, "channel"))
    if sizes.classes != wanted.classes:
        theirs.append(counted(sizes.classes, "class", "classes"))
        ours.append(str(wanted.classes))
        remedy = "; train the teacher with a new last layer on this data set first"
    unlike = _some(differences(shapes.tensors, given)[-1])
    return f"is for {' and '.join(theirs)}, {study.dataset} has {' and '.join(ours)}: {unlike}{remedy}"


def _what_else(study: Study, shapes: NetworkShapes, state_dicts: list[StateDict]) -> str:
    """Describe weights that do not fit the study's teacher."""
    for name in models_of(study.task.name):
        if _fitting(NetworkShapes(Component(name=name), shapes.sizes), state_dicts):
            return f"is a {name}, but the study's teacher is {study.teacher}; use it with --set teacher={name}"
    parts = _parts(shapes, state_dicts) or state_dicts
    closest = max(parts, key=lambda part: len(shapes.tensors.keys() & part.weights.keys()))
    missing, unexpected, unlike = differences(shapes.tensors, closest.weights)
    lists = {"missing": missing, "unexpected": unexpected, "of another shape": unlike}
    problems = "; ".join(f"{what}: {_some(names)}" for what, names in lists.items() if names)
    place = f" (tensors were found {_some(map(str, state_dicts))})" if closest.keys else ""
    whose = "kdtune's " if study.teacher.name in MODELS else ""
    cause = ""
    if study.teacher.name not in MODELS:
        what = "another depth" if missing or unexpected else "another width"
        cause = f"; perhaps the weights belong to a network with {what} or other options"
    return f"is not {whose}{study.teacher} for {study.dataset}: {problems}{place}{cause}"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _plain(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a copy with its own memory, since saving a view would save the whole tensor behind it."""
    return value.detach().to(dtype).clone(memory_format=torch.contiguous_format)


def identity_of(state: Weights) -> str:
    """Return a hash of the names, types, shapes and values of all tensors in order, 16 hexadecimal digits."""
    content = hashlib.sha256()
    for name, value in state.items():
        content.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        content.update(value.cpu().numpy().tobytes())
    return content.hexdigest()[:16]
