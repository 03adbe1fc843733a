"""Pictures with boxes in COCO's format: a JSON file for each part, and a folder with its pictures."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from kdtune.data.sources import FolderScheme
from kdtune.errors import DataError
from kdtune.storage.files import read_whole
from kdtune.storage.parsing import parse_json
from kdtune.tasks.detection.annotations import COLUMNS, AnnotatedSource, BoxOptions, Picture, Pictures


class Options(BoxOptions):
    """How a folder in COCO's layout becomes a data set. The defaults are those of COCO 2017, whose test is not public.

    Attributes:
        train: JSON file of the pictures for training and validation, relative to the folder.
        train_images: Folder of these pictures.
        test: JSON file of the pictures for the test.
        test_images: Folder of these pictures.
    """

    train: str = "annotations/instances_train2017.json"
    train_images: str = "train2017"
    test: str = "annotations/instances_val2017.json"
    test_images: str = "val2017"


class CocoFolder(AnnotatedSource):
    """Pictures in COCO's format. Crowds are difficult objects: they are not learned and need not be found."""

    Options: ClassVar[type[BaseModel]] = Options

    def pictures(self) -> Pictures:
        """See :meth:`kdtune.tasks.detection.annotations.AnnotatedSource.pictures`."""
        options = self.options
        names, train = self._part(options.train, options.train_images)
        test_names, test = self._part(options.test, options.test_images)
        if names != test_names:
            raise DataError(f"{self.folder}: {options.train} and {options.test} have different categories")
        return Pictures(tuple(names.values()), train, test)

    def _part(self, name: str, images: str) -> tuple[dict[int, str], list[Picture]]:
        """Return the categories by number, sorted, and the pictures of one part."""
        file = self.folder / name
        tables = _read(file)
        names = {int(one["id"]): str(one["name"]) for one in sorted(_rows(file, tables, "categories"), key=_id)}
        labels = {number: label for label, number in enumerate(names)}
        pictures = {_id(one): one for one in _rows(file, tables, "images")}
        objects = defaultdict(list)
        for one in _rows(file, tables, "annotations"):
            image, category = one.get("image_id"), one.get("category_id")
            if not isinstance(image, Hashable) or image not in pictures:
                raise DataError(f"{file}: annotation {one['id']} is of image {image!r}, which is missing")
            if not isinstance(category, Hashable) or category not in labels:
                raise DataError(f"{file}: annotation {one['id']}: there is no category {category!r}")
            objects[image].append(_row(file, one, labels[category]))
        if not pictures:
            raise DataError(f"{file}: lists no images")
        found = [
            Picture(
                _image(file, self.folder / images, one),
                file,
                np.array(objects[number], np.float64).reshape(-1, COLUMNS),
                _size(file, one),
            )
            for number, one in pictures.items()
        ]
        return names, found


def _read(file: Path) -> Mapping[str, Any]:
    try:
        tables = parse_json(read_whole(file))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise DataError(f"{file}: is no valid JSON ({error})") from None
    if not isinstance(tables, Mapping):
        raise DataError(f"{file}: is not in COCO's format, which is an object with images, annotations and categories")
    return tables


def _rows(file: Path, tables: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    rows = tables.get(key)
    needed = {"images": ("id", "file_name"), "annotations": ("id", "bbox"), "categories": ("id", "name")}[key]
    if not isinstance(rows, list):
        raise DataError(f"{file}: is not in COCO's format: it has no list {key!r}")
    for place, one in enumerate(rows):
        for name in needed:
            if not isinstance(one, Mapping) or name not in one:
                raise DataError(f"{file}: {key}[{place}] has no {name!r}")
        if type(one["id"]) is not int:
            raise DataError(f"{file}: {key}[{place}] has an id that is not an integer: {one['id']!r}")
    if key != "annotations":  # nothing refers to an annotation by its id
        often = [number for number, count in Counter(map(_id, rows)).items() if count > 1]
        if often:
            raise DataError(f"{file}: several {key} have the id {often[0]}; give each an id of its own")
    return rows


def _id(row: Mapping[str, Any]) -> int:
    return int(row["id"])


def _image(file: Path, folder: Path, one: Mapping[str, Any]) -> Path:
    path = folder / str(one["file_name"])
    if not path.is_file():
        raise DataError(f"{path}: is missing ({file.name} lists it)")
    return path


def _size(file: Path, one: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the width and height of a picture; None if they are not written, which a 0 means too."""
    size = one.get("width") or 0, one.get("height") or 0
    if any(type(value) not in (int, float) for value in size):
        raise DataError(f"{file}: image {one['id']} has a width and height that are no numbers, got {size!r}")
    return size if all(size) else None


def _row(file: Path, one: Mapping[str, Any], label: int) -> tuple[float, ...]:
    box = one["bbox"]
    is_sound = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if not is_sound or not np.isfinite(box).all():
        raise DataError(f"{file}: annotation {one['id']} has no bbox of four numbers, got {box!r}")
    left, top, width, height = box
    return (label, float(bool(one.get("iscrowd"))), left, top, left + width, top + height)


#: The scheme ``coco:PATH``.
COCO_FOLDERS = FolderScheme(CocoFolder)
