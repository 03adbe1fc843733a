"""Pictures with boxes in the layout of PASCAL VOC: ``JPEGImages``, ``Annotations`` and ``ImageSets/Main``."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
from pydantic import BaseModel

from kdtune.catalog.spelling import did_you_mean
from kdtune.data.decoding import IMAGE_SUFFIXES
from kdtune.data.sources import FolderScheme
from kdtune.errors import DataError
from kdtune.tasks.detection.annotations import COLUMNS, AnnotatedSource, BoxOptions, Picture, Pictures

#: The classes of PASCAL VOC in the order of its documentation.
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

#: Lists of a folder of several years: VOC07+12 as published, 16,551 pictures for training and 4,952 for the test.
VOC_07_12 = (("VOC2007/trainval", "VOC2012/trainval"), ("VOC2007/test",))


class Options(BoxOptions):
    """How a folder in the layout of PASCAL VOC becomes a data set.

    Attributes:
        train: Lists of the pictures for training and validation, such as ``trainval``; in a folder of several years
            ``VOC2007/trainval``. By default ``trainval``, and ``train`` and ``val`` if there is none; those of VOC07+12
            in a folder of several years.
        test: Lists of the pictures for the test; by default ``test``; that of VOC 2007 in a folder of several years.
        classes: Names of the classes in the order of their labels. By default the 20 of PASCAL VOC if all objects are
            of these, and otherwise those that occur, sorted.
    """

    train: tuple[str, ...] | None = None
    test: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None


class VocFolder(AnnotatedSource):
    """Pictures in the layout of PASCAL VOC, or those of several years in a ``VOCdevkit``.

    A box of the annotations includes its last row and column, and counts from 1: the box (1, 1, 1, 1) is one pixel.
    """

    Options: ClassVar[type[BaseModel]] = Options

    def pictures(self) -> Pictures:
        """See :meth:`kdtune.tasks.detection.annotations.AnnotatedSource.pictures`."""
        train, test = self._lists()
        # A picture counts once, however often it is listed: the lists of two classes have pictures in common.
        some, others = (
            list(dict.fromkeys(one for name in names for one in self._listed(name))) for names in (train, test)
        )
        for names, part in ((train, some), (test, others)):
            if not part:
                raise DataError(f"{self.folder}: the lists {', '.join(names)} name no pictures")
        read = [(path, annotation, *_objects_in(annotation)) for path, annotation in (*some, *others)]
        names = self._class_names({name for *_, found, _ in read for name, *_ in found})
        labels = {name: label for label, name in enumerate(names)}
        pictures = [
            Picture(path, annotation, _labelled(annotation, found, labels), size)
            for path, annotation, found, size in read
        ]
        return Pictures(names, pictures[: len(some)], pictures[len(some) :])

    def _lists(self) -> tuple[Sequence[str], Sequence[str]]:
        several = not (self.folder / "ImageSets").is_dir()
        if several and not any(self.folder.glob("VOC*/ImageSets")):
            raise DataError(
                f"{self.folder}: is not in the layout of PASCAL VOC; it has neither ImageSets/Main, Annotations and "
                "JPEGImages, nor folders such as VOC2007 with these"
            )
        train, test = VOC_07_12 if several else (("trainval",), ("test",))
        if not several and not self._list_file("trainval").is_file():
            train = ("train", "val")
        return self.options.train or train, self.options.test or test

    def _list_file(self, name: str) -> Path:
        year, _, part = name.rpartition("/")
        return self.folder / year / "ImageSets" / "Main" / f"{part}.txt"

    def _listed(self, name: str) -> list[tuple[Path, Path]]:
        """Return the pictures of a list and their annotations."""
        file = self._list_file(name)
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror or error}); it lists the pictures") from None
        except UnicodeDecodeError:
            raise DataError(f"{file}: is no text file") from None
        top = file.parents[2]
        found = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            stem = line.split()[0]
            if "/" in stem or stem.startswith("."):
                raise DataError(f"{file}, line {number}: {stem!r} is not the name of a picture without its ending")
            if Path(stem).suffix.lower() in IMAGE_SUFFIXES and not (top / "Annotations" / f"{stem}.xml").is_file():
                raise DataError(f"{file}, line {number}: {stem!r} has an ending; list pictures without it")
            found.append((_image(top / "JPEGImages", stem), top / "Annotations" / f"{stem}.xml"))
        return found

    def _class_names(self, found: set[str]) -> tuple[str, ...]:
        if self.options.classes:
            if twice := [name for name, count in Counter(self.options.classes).items() if count > 1]:
                raise DataError(f"{self.folder}: the option classes names {twice[0]!r} several times")
            return tuple(self.options.classes)
        return VOC_CLASSES if found <= {*VOC_CLASSES} else tuple(sorted(found))


def _image(folder: Path, stem: str) -> Path:
    for ending in (".jpg", *sorted(IMAGE_SUFFIXES)):
        if (path := folder / f"{stem}{ending}").is_file():
            return path
    raise DataError(f"{folder / stem}.jpg: is missing, but listed; restore it, or remove {stem} from the list")


#: Name of the class, difficult, and the box as it is written.
_Object = tuple[str, float, tuple[float, ...]]


def _objects_in(annotation: Path) -> tuple[list[_Object], tuple[int, int] | None]:
    """Return the objects of an annotation, and the size of its picture if it is written there.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        root = ElementTree.parse(annotation).getroot()
    except OSError as error:
        raise DataError(
            f"{annotation}: cannot be read ({error.strerror or error}); each listed picture needs an annotation, which "
            "may have no objects"
        ) from None
    except ElementTree.ParseError as error:
        raise DataError(f"{annotation}: is no valid XML ({error}); restore it") from None
    found = []
    for number, one in enumerate(root.iter("object"), start=1):
        name = (one.findtext("name") or "").strip()
        if not name:
            raise DataError(f"{annotation}: object {number} has no name")
        corners = [_number(annotation, number, one.findtext(f"bndbox/{key}"), key) for key in _CORNERS]
        found.append((name, float(one.findtext("difficult", "0").strip() == "1"), (*corners,)))
    size = tuple(root.findtext(f"size/{key}", "").strip() for key in ("width", "height"))
    is_written = all(text.isdecimal() and int(text) > 0 for text in size)
    return found, (int(size[0]), int(size[1])) if is_written else None


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _number(annotation: Path, number: int, text: str | None, key: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{annotation}: object {number} has no {key} that is a number, got {text!r}")
    return value


def _labelled(annotation: Path, found: Sequence[_Object], labels: dict[str, int]) -> np.ndarray:
    """Return objects with labels in place of names, (objects, 6), continuous and counted from 0."""
    rows = np.zeros((len(found), COLUMNS))
    for row, (name, difficult, (left, top, right, bottom)) in zip(rows, found, strict=True):
        if name not in labels:
            raise DataError(f"{annotation}: {name!r} is not among the classes; {did_you_mean(name, list(labels))}")
        # A box that is inverted, or has equal corners, has no area: annotations with such boxes are mistaken.
        is_box = right > left and bottom > top
        corners = (left - 1, top - 1, right, bottom) if is_box else (left, top, left, top)
        row[:] = (labels[name], difficult, *corners)
    return rows


#: The scheme ``voc:PATH``.
VOC_FOLDERS = FolderScheme(VocFolder)
