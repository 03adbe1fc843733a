"""Data sets that are not built in: described before a run, decoded once, and loaded from the decoded copy."""

import inspect
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from kdtune.catalog.builtin import DATASETS
from kdtune.catalog.foreign_calls import foreign_call
from kdtune.catalog.spelling import known_options
from kdtune.data.arrays import Arrays, decoded_copy, decoded_once, decoded_test_part
from kdtune.data.published import obtain, published_fingerprint
from kdtune.data.user_arrays import arrays_of
from kdtune.errors import DataError, Fault, Remark, SpecError, UsageError
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo, built_in_info
from kdtune.specs.split_sizes import normalisation_problem
from kdtune.specs.study import Setting, Study
from kdtune.storage.paths import DataDir

#: Bytes of training images above which a function is not called again for a check.
_LARGE = 2**28


class DataSource(ABC):
    """A data set whose content can be identified without decoding its images."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return what identifies the content and how it is decoded, 12 hexadecimal digits.

        Raises:
            DataError: The data set is missing, incomplete or damaged.
        """

    @abstractmethod
    def decode(self) -> Arrays:
        """Read all images.

        Raises:
            DataError: The data set is missing, incomplete or damaged.
        """


class FolderScheme:
    """A scheme of folders, such as ``folder:PATH``; a folder is identified by its content, not by its name."""

    def __init__(self, source: Callable[..., DataSource]) -> None:
        """Keep what makes a data set from a folder's absolute path and the component's options."""
        self._source = source

    def identify(self, name: str) -> str:
        """Return nothing: the content is digested before a run, not whenever a study is read.

        Raises:
            ValueError: There is no such folder.
        """
        if not Path(name).is_dir():
            raise ValueError(f"{name}: there is no such folder")
        return ""

    def load(self, name: str) -> Any:
        """Return a function from options to the folder's data set."""
        return partial(self._source, Path(name))


def describe_own_data(component: Component) -> DataInfo:
    """Return what is known of a data set that is not built in, before energy is spent on a study.

    The images are decoded into the cache unless they are there. What a user should know of them, such as files that
    were left out, is a :class:`~kdtune.errors.Remark`, every time, since it is kept with the decoded copy.

    Raises:
        DataError: The data set is missing, incomplete or damaged.
        UsageError: The component's function fails or returns no data set.
    """
    made = _made(component)
    if isinstance(made, DataSource):
        fingerprint, decode = made.fingerprint(), made.decode
    else:
        returned = arrays_of(made, str(component))
        fingerprint, decode = _content_digest(returned), lambda: returned
    arrays = decoded_once(component.slug, decode, fingerprint)
    for remark in arrays.remarks:
        warnings.warn(Remark(remark), stacklevel=2)
    return DataInfo(
        classes=len(arrays.class_names) or 1 + int(max(arrays.train_labels.max(), arrays.test_labels.max())),
        shape=tuple(arrays.train_images.shape[1:]),
        train_images=len(arrays.train_labels),
        test_images=len(arrays.test_labels),
        class_names=arrays.class_names,
        fingerprint=fingerprint,
        annotations="boxes" if arrays.train_labels.ndim > 1 else "classes",
    )


def check_repeatable(component: Component, info: DataInfo) -> None:
    """Call the function of a data set again, unless the data set is large, and compare what it returns.

    Args:
        component: The data set.
        info: What :func:`describe_own_data` found.

    Raises:
        DataError: It returned other images or labels.
        UsageError: It fails.
    """
    if component.name in DATASETS or math.prod(info.shape) * info.train_images > _LARGE:
        return
    made = _made(component)
    if not isinstance(made, DataSource) and _content_digest(arrays_of(made, str(component))) != info.fingerprint:
        raise DataError(
            f"data set {component}: returns other images or labels each time it is called, so that no study of it can "
            "be continued; use a fixed seed for all that it draws, and no set or folder without an order"
        )


def describe_data(component: Component, place: DataDir) -> DataInfo:
    """Return what is known of a data set, built in or not, after checking that it can be read.

    Args:
        component: The data set.
        place: Folder with the published data sets.

    Raises:
        DataError: The data set is missing, incomplete or damaged.
        UsageError: See :func:`describe_own_data`.
    """
    if component.name not in DATASETS:
        return describe_own_data(component)
    _refuse_options(component)
    info = built_in_info(component)
    return info.model_copy(update={"train_images": obtain(component.name, place)})


def _refuse_options(built_in: Component) -> None:
    if built_in.options:
        given = ", ".join(built_in.options)
        raise UsageError(f"data set {built_in}: {built_in.name} has no options; remove {given} from the study")


def with_described_data(study: Study) -> Study:
    """Return a study with what is known of its data set, before energy is spent on it.

    Raises:
        DataError: The data set is missing, incomplete or damaged, or has changed since the study began.
        UsageError: See :func:`describe_own_data`.
        SpecError: The given mean does not fit the images.
    """
    if study.dataset.name in DATASETS:
        _refuse_options(study.dataset)
        return study
    info = describe_own_data(study.dataset)
    if study.dataset_info:
        check_unchanged(study.dataset, info.fingerprint, study.dataset_info.fingerprint)
    if wrong := normalisation_problem(info.shape[0], study.data.normalisation):
        raise SpecError([Fault(f"study {study.name}", "data.mean", wrong)])
    return study.with_data_info(info)


def available_images(
    setting: Setting,
    place: DataDir,
    *,
    download: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    show_bar: bool = False,
) -> int:
    """Return the number of training images of a study's data set, after checking that it can be loaded.

    For the arguments and errors see :func:`kdtune.data.published.obtain`; nothing is downloaded for a data set that
    is not built in. A study that reads no training image accepts a decoded test part by itself.
    """
    if setting.is_data_free and (test := _decoded_test_part(setting, place)):
        return test.training_images
    if setting.dataset.name in DATASETS:
        return obtain(setting.dataset.name, place, download=download, tell=tell, show_bar=show_bar)
    return setting.data_info.train_images


def load_arrays(setting: Setting, place: DataDir) -> Arrays:
    """Return the images and labels of a study's data set, from the decoded copy if there is one.

    Args:
        setting: Of the study.
        place: Folder with the published data sets.

    Raises:
        DataError: The data set is missing, incomplete or damaged, or has changed since it was described.
    """
    component = setting.dataset
    if component.name in DATASETS:
        arrays: Arrays = DATASETS.load(component.name)().load(place)
        return arrays
    fingerprint = setting.data_info.fingerprint
    if found := decoded_copy(component.slug, fingerprint):
        return found

    def decode() -> Arrays:
        made = _made(component)
        if isinstance(made, DataSource):
            check_unchanged(component, made.fingerprint(), fingerprint)
            return made.decode()
        arrays = arrays_of(made, str(component))
        check_unchanged(component, _content_digest(arrays), fingerprint)
        return arrays

    return decoded_once(component.slug, decode, fingerprint)


def load_test_part(setting: Setting, place: DataDir) -> Arrays:
    """Return the test part of a study's data set; training images are opened only if nothing has been decoded yet.

    The arguments and errors are those of :func:`load_arrays`.
    """
    return _decoded_test_part(setting, place) or load_arrays(setting, place).without_training_images()


def _decoded_test_part(setting: Setting, place: DataDir) -> Arrays | None:
    if (component := setting.dataset).name in DATASETS:
        return decoded_test_part(component.name, published_fingerprint(component.name, place.path))
    return decoded_test_part(component.slug, setting.data_info.fingerprint)


def check_unchanged(component: Component, found: str, expected: str) -> None:
    """Refuse a data set whose content has changed since a study began.

    Raises:
        DataError: The fingerprints differ.
    """
    if found != expected:
        raise DataError(
            f"data set {component}: its images have changed since the study began; restore them, or begin the study "
            "anew with 'kdtune study --fresh'"
        )


def _made(component: Component) -> Any:
    """Call the function that a data set's reference names, with the component's options."""
    make = DATASETS.load(component.name, component.digest)
    if not callable(make):
        raise UsageError(f"data set {component}: {component.name} is not a function that returns (train, test)")
    _check_options(component, make)
    with foreign_call(f"data set {component}", component.name):
        return make(**component.options)


def _check_options(component: Component, make: Callable[..., Any]) -> None:
    """Raise a UsageError if a function does not accept the options of a data set."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return  # of a compiled function nothing is known
    try:
        signature.bind(**component.options)
    except TypeError as error:
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        known = known_options(name for name, one in signature.parameters.items() if one.kind in named)
        raise UsageError(f"data set {component}: {error}; {known}; correct the study") from None


def _content_digest(arrays: Arrays) -> str:
    digest = sha256()
    for part in (arrays.train_images, arrays.train_labels, arrays.test_images, arrays.test_labels):
        digest.update(f"{part.shape}\0".encode())
        digest.update(part.data if part.flags.c_contiguous else part.tobytes())
    digest.update("\0".join(arrays.class_names).encode())
    return digest.hexdigest()[:12]
