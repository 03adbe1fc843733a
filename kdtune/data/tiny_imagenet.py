"""Tiny ImageNet: 200 classes of ImageNet at 64x64 pixels.

The labels of its test part are not public, so its validation part serves as the test set.
Source: Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge (Stanford CS231n, 2015).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdtune.data.arrays import Arrays
from kdtune.data.published import Archive, Published, digest, download_hint, reading
from kdtune.errors import DataError

_FOLDER = "tiny-imagenet-200"
_SIDE = 64

#: Number of images that a message names after the first.
_NAMED = 4

_ARCHIVE = Archive(("http://cs231n.stanford.edu/tiny-imagenet-200.zip",), "90528d7ca1a48142e341f4ef8d21d0de")

Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class _Listing:
    """The images of a data folder.

    Attributes:
        class_names: Name of each label, from ``words.txt``.
        train: File and label of each training image, class by class in the order of ``wnids.txt``.
        test: File and label of each validation image, in the order of ``val_annotations.txt``.
    """

    class_names: tuple[str, ...]
    train: Labelled
    test: Labelled


class TinyImageNet(Published):
    """Tiny ImageNet, or any subset of its images in the same layout."""

    name = "tiny_imagenet"

    def archives(self) -> list[Archive]:
        """Return the single archive."""
        return [_ARCHIVE]

    def fingerprint(self, root: Path) -> str:
        """Hash the lists and the names and sizes of the images, so that every subset is a data set of its own."""
        top = root / _FOLDER
        parts = [_read(top / name) for name in ("wnids.txt", "words.txt", "val/val_annotations.txt")]
        for folder in [*(_train_folder(top, wnid) for wnid in _wnids(top)), top / "val" / "images"]:
            with reading(folder), os.scandir(folder) as entries:
                parts += sorted(f"{entry.name} {entry.stat().st_size}" for entry in entries)
        return digest("\n".join(parts).encode())

    def verify(self, root: Path) -> None:
        """Check that every listed image exists, and that every image is listed.

        Raises:
            DataError: A file is missing or invalid.
        """
        _listing(root / _FOLDER)

    def train_images(self, root: Path) -> int:
        """Return the number of listed training images."""
        return len(_listing(root / _FOLDER).train)

    def decode(self, root: Path) -> Arrays:
        """Read every image. This can take as long as a training, so it runs while energy is metered.

        Raises:
            DataError: Images cannot be decoded or have a wrong size; the message names them.
        """
        found = _listing(root / _FOLDER)
        unusable: dict[Path, str] = {}
        arrays = Arrays(*_decode(found.train, unusable), *_decode(found.test, unusable), class_names=found.class_names)
        if unusable:
            raise DataError(_told(unusable))
        return arrays


def _decode(images: Labelled, unusable: dict[Path, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and labels. Unusable images are added to ``unusable`` with the reason."""
    from torchvision.datasets.folder import pil_loader

    pixels = np.empty((len(images), 3, _SIDE, _SIDE), np.uint8)
    for index, (path, _) in enumerate(images):
        try:
            image = np.asarray(pil_loader(str(path)))  # converts grey images to colour
        except Exception as error:  # Pillow's decoders raise errors of many types for damaged files
            unusable[path] = f"cannot be decoded ({str(error) or type(error).__name__})"
            continue
        if image.shape != (_SIDE, _SIDE, 3):
            unusable[path] = f"has {image.shape[1]}x{image.shape[0]} pixels, which should be {_SIDE}x{_SIDE}"
            continue
        pixels[index] = image.transpose(2, 0, 1)
    return pixels, np.array([label for _, label in images], np.int64)


def _told(unusable: dict[Path, str]) -> str:
    """Describe all unusable images in one message, so that one attempt finds them all."""
    (first, reason), *others = unusable.items()
    names = ", ".join(str(path) for path, _ in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    also = f"; {names}{more} cannot be used either" if others else ""
    return f"tiny_imagenet: {first} {reason}{also}; delete what is damaged, then {download_hint('tiny_imagenet')}"


def _listing(top: Path) -> _Listing:
    wnids = _wnids(top)
    words = dict(line.split("\t", 1) for line in _lines(top / "words.txt") if "\t" in line)
    train: Labelled = []
    for label, wnid in enumerate(wnids):
        folder = _train_folder(top, wnid)
        there = _images_in(folder)
        boxes = top / "train" / wnid / f"{wnid}_boxes.txt"
        if boxes.exists():  # lists all images of the class with their bounding boxes
            _require_all(folder, there, [line.split("\t")[0] for line in _lines(boxes)], boxes)
        train += [(folder / name, label) for name in there]
    return _Listing(tuple(words.get(wnid, wnid) for wnid in wnids), train, _annotated(top, wnids))


def _annotated(top: Path, wnids: Sequence[str]) -> Labelled:
    """Return the validation images with their labels."""
    annotations = top / "val" / "val_annotations.txt"
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    label_of = {}
    for number, line in enumerate(_lines(annotations), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0]
        if wnid not in labels:
            raise DataError(f"tiny_imagenet: {annotations}, line {number}: {wnid!r} is not a class of wnids.txt")
        label_of[name] = labels[wnid]
    folder = top / "val" / "images"
    there = _images_in(folder)
    _require_all(folder, there, list(label_of), annotations)
    if unlabelled := [name for name in there if name not in label_of]:
        raise DataError(f"tiny_imagenet: {annotations} does not list {unlabelled[0]}; is it truncated?")
    return [(folder / name, label) for name, label in label_of.items()]


def _wnids(top: Path) -> list[str]:
    wnids = _lines(top / "wnids.txt")
    if not wnids or len(set(wnids)) < len(wnids):
        raise DataError(f"tiny_imagenet: {top / 'wnids.txt'} must list every class once")
    return wnids


def _train_folder(top: Path, wnid: str) -> Path:
    return top / "train" / wnid / "images"


def _images_in(folder: Path) -> list[str]:
    """Return the sorted names of the images in a folder."""
    with reading(folder):
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".JPEG")
    if not names:
        raise DataError(f"tiny_imagenet: {folder} holds no images; {download_hint('tiny_imagenet')}")
    return names


def _require_all(folder: Path, there: Sequence[str], listed: Sequence[str], by: Path) -> None:
    if missing := sorted(set(listed).difference(there)):
        raise DataError(
            f"tiny_imagenet: {folder / missing[0]} is missing ({by.name} lists it); {download_hint('tiny_imagenet')}"
        )


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in _read(path).splitlines() if line.strip()]


def _read(path: Path) -> str:
    try:
        with reading(path):
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"tiny_imagenet: {path} is damaged: it is not a text file") from None
