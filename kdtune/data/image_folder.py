"""A folder of pictures as a data set: a folder for each class, in the layout of torchvision's ``ImageFolder``."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from kdtune.data.arrays import Arrays
from kdtune.data.copies import digests, repetitions
from kdtune.data.decoding import IMAGE_SUFFIXES, Decoding, Labelled, Resize, decode_all, is_grey
from kdtune.data.sources import DataSource, FolderScheme
from kdtune.errors import DataError, SpecError
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.seeds import derive_seed
from kdtune.specs.validation_messages import faults_of
from kdtune.storage.wording import counted

#: Files that a message names; the others are counted.
NAMED = 4


class FolderOptions(FrozenModel):
    """How a folder becomes a data set; the options that a study gives beside ``ref``.

    Attributes:
        image_size: Height and width of the decoded images, in pixels.
        resize: How images of other shapes get there; see :class:`~kdtune.data.decoding.Decoding`.
        channels: 3 for colour or 1 for grey; None takes 1 where all files are grey.
        test_share: Share of each class that is set apart for the test, where the folder has no test part.
    """

    image_size: int = Field(default=64, ge=4, le=4096, strict=True)
    resize: Resize = "crop"
    channels: Literal[1, 3] | None = None
    test_share: float = Field(default=0.2, gt=0.0, lt=1.0)


@dataclass(frozen=True)
class Listing:
    """The image files of a folder.

    Attributes:
        class_names: Of label 0, 1, ...: the folders' names, sorted.
        train: File and label of each training image, sorted by class and name.
        test: The same of the test images.
    """

    class_names: tuple[str, ...]
    train: Labelled
    test: Labelled


class ImageFolder(DataSource):
    """Pictures of any size, decoded to squares of one size.

    The folder holds ``train/CLASS/*`` and ``test/CLASS/*`` or ``val/CLASS/*``; or ``CLASS/*`` alone, of which a share
    of each class is set apart for the test, by the files' names. Where there are both ``val`` and ``test``, the images
    of ``val`` join those of ``train``, of which kdtune holds out a validation part of its own.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        """Validate the options; nothing is read yet.

        Args:
            folder: Absolute path.
            options: Of :class:`FolderOptions`.

        Raises:
            SpecError: An option is unknown or wrong.
        """
        self.folder = folder
        try:
            self.options = FolderOptions.model_validate(options)
        except ValidationError as error:
            raise SpecError(faults_of(error, FolderOptions, f"data set folder:{folder.name}")) from None

    def listing(self) -> Listing:
        """List the image files.

        Raises:
            DataError: The folder is missing, cannot be read, or has no two classes with images in both parts.
        """
        parts = {name: self.folder / name for name in ("train", "val", "test") if (self.folder / name).is_dir()}
        if parts and "train" not in parts:
            raise DataError(f"{self.folder}: has a folder {next(iter(parts))!r} but none called 'train'")
        if not parts:
            class_names = self._classes(self.folder)
            train, test = self._set_apart(_files(self.folder, class_names))
        else:
            class_names = self._classes(parts["train"])
            train = _files(parts["train"], class_names)
            if "val" in parts and "test" in parts:
                train += self._part(parts["val"], class_names)
            test_part = parts.get("test") or parts.get("val")
            if test_part:
                test = self._part(test_part, class_names)
            else:
                train, test = self._set_apart(train)
        self._check(class_names, train, test)
        return Listing(class_names, train, test)

    def fingerprint(self) -> str:
        """Return a digest of all files' content and places, and of the options; 12 hexadecimal digits.

        Raises:
            DataError: See :meth:`listing`; or a file cannot be read.
        """
        listing = self.listing()
        digest = sha256(self.options.model_dump_json().encode())
        for part in (listing.train, listing.test):
            for path, label in part:
                try:
                    with path.open("rb") as file:
                        content = file_digest(file, "sha256").hexdigest()
                except OSError as error:
                    raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
                digest.update(f"{path.relative_to(self.folder)}\0{label}\0{content}\n".encode())
            digest.update(b"\n")
        if empty := self._empty_folders(listing.class_names):
            digest.update("\0".join(empty).encode())  # they have a remark
        return digest.hexdigest()[:12]

    def decode(self) -> Arrays:
        """Decode all images.

        Files that cannot be decoded are left out. A training image that is also in the test part, to the last pixel, is
        left out of the training part: a model that has seen it would be tested on what it knows. The arrays' remarks
        list and count both, and count the training images that occur more than once.

        Raises:
            DataError: See :meth:`listing`; or a class has no images left.
        """
        listing, options = self.listing(), self.options
        files = listing.train + listing.test
        channels = options.channels or (1 if is_grey([path for path, _ in files]) else 3)
        decoding = Decoding(options.image_size, options.resize, channels)
        train, test = decode_all(listing.train, decoding), decode_all(listing.test, decoding)
        known, of_train = set(digests(test.images)), digests(train.images)
        is_copy = np.array([one in known for one in of_train], bool)
        copies = [path for path, copied in zip(train.paths, is_copy, strict=True) if copied]
        train = train.keep(~is_copy)
        for part, labels in (("training", train.labels), ("test", test.labels)):
            if missing := sorted({*range(len(listing.class_names))} - {*labels.tolist()}):
                name = listing.class_names[missing[0]]
                raise DataError(f"{self.folder}: the {part} part has no usable images of class {name!r}; add some")
        return Arrays(
            *(train.images, train.labels, test.images, test.labels),
            class_names=listing.class_names,
            remarks=(
                *self._remarks(listing.class_names, train.unusable | test.unusable, copies),
                *(f"{self.folder}: {remark}" for remark in repetitions([one for one in of_train if one not in known])),
            ),
        )

    def _remarks(self, class_names: Sequence[str], unusable: dict[Path, str], copies: Sequence[Path]) -> Iterator[str]:
        if empty := self._empty_folders(class_names):
            folders = "folder without images, which is no class", "folders without images, which are no classes"
            yield f"{self.folder}: {_counted(empty, *folders)}"
        if unusable:
            files = [f"{path.relative_to(self.folder)} {reason}" for path, reason in unusable.items()]
            yield f"{self.folder}: {_counted(files, 'file that is no usable image', 'files that are no usable images')}"
        if copies:
            files = [str(path.relative_to(self.folder)) for path in copies]
            one, many = "training image that is a test image too", "training images that are test images too"
            yield f"{self.folder}: {_counted(files, one, many)}"

    def _empty_folders(self, class_names: Sequence[str]) -> list[str]:
        train = self.folder / "train"
        return [name for name in _folders(train if train.is_dir() else self.folder) if name not in class_names]

    def _classes(self, part: Path) -> tuple[str, ...]:
        names = [name for name in _folders(part) if any(_images(part / name))]
        if len(names) < 2:
            raise DataError(
                f"{part}: holds {counted(len(names), 'folder')} with images, and at least two classes are needed; put "
                f"the images of each class into a folder of its own, such as {part / 'cats' / '1.jpg'}"
            )
        return tuple(names)

    def _part(self, part: Path, class_names: Sequence[str]) -> Labelled:
        if extra := sorted({*self._classes(part)} - {*class_names}):
            raise DataError(f"{part / extra[0]}: is a class that {part.parent / 'train'} does not have")
        return _files(part, class_names)

    def _set_apart(self, files: Labelled) -> tuple[Labelled, Labelled]:
        """Split files into a training and a test part, class by class, by their order alone."""
        is_test = np.zeros(len(files), bool)
        labels = np.array([label for _, label in files])
        for label in np.unique(labels):
            places = np.flatnonzero(labels == label)
            count = min(max(1, round(self.options.test_share * len(places))), len(places) - 1)
            order = np.random.default_rng(derive_seed(0, "test", int(label))).permutation(len(places))
            is_test[places[order[:count]]] = True
        return [one for one, held in zip(files, is_test, strict=True) if not held], [
            one for one, held in zip(files, is_test, strict=True) if held
        ]

    def _check(self, class_names: Sequence[str], train: Labelled, test: Labelled) -> None:
        for part, files in (("training", train), ("test", test)):
            counts = Counter(label for _, label in files)
            for label, name in enumerate(class_names):
                if not counts[label]:
                    raise DataError(f"{self.folder}: the {part} part has no images of class {name!r}; add some")


def _folders(part: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; hidden ones are skipped.

    Raises:
        DataError: The folder cannot be read.
    """
    try:
        with os.scandir(part) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{part}: cannot be read ({error.strerror or error})") from None


def _images(folder: Path) -> Iterator[Path]:
    """Image files in a folder and its subfolders, in no particular order; hidden files are skipped.

    Links to folders are followed, but no folder is visited twice, and none above the first one, which would hold the
    images of other classes, too.
    """
    visited = {str(above) for above in Path(os.path.realpath(folder)).parents}
    for root, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(root, name)


def _files(part: Path, class_names: Sequence[str]) -> Labelled:
    return [(path, label) for label, name in enumerate(class_names) for path in sorted(_images(part / name))]


def _counted(files: Sequence[str], one: str, many: str) -> str:
    names = ", ".join(files[:NAMED])
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return f"left out {len(files)} {one if len(files) == 1 else many}: {names}{more}"


#: The scheme ``folder:PATH``.
FOLDERS = FolderScheme(ImageFolder)
