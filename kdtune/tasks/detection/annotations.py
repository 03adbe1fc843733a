"""Image files with the boxes of their objects, decoded to the arrays of a data set."""

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from kdtune.data.arrays import Arrays
from kdtune.data.copies import digests, leaked, repetitions
from kdtune.data.decoding import Decoding, decode_all, is_grey
from kdtune.data.sources import DataSource
from kdtune.errors import DataError, SpecError
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.validation_messages import faults_of

#: Numbers about an object: class, difficult (1 or 0), left, top, right and bottom in pixels.
COLUMNS = 6

#: Pixels by which a box may reach outside its picture without a remark.
_TOLERANCE = 1.0

#: Number of the tag with which cameras say how a picture is turned; from 5 on, width and height are exchanged.
_ORIENTATION = 0x0112

#: Files that a message names; the others are counted.
_NAMED = 4


class BoxOptions(FrozenModel):
    """How pictures with boxes become a data set; the options that a study gives beside ``ref``.

    Attributes:
        image_size: Height and width to which pictures are stretched, in pixels.
        channels: 3 for colour or 1 for grey; None takes 1 where all files are grey.
    """

    image_size: int = Field(default=300, ge=16, le=4096, strict=True)
    channels: Literal[1, 3] | None = None


@dataclass(frozen=True)
class Picture:
    """A picture and what is known of it.

    Attributes:
        path: Of the image file.
        annotation: File with the objects.
        objects: In pixels of the file, float64, (objects, 6).
        size: Width and height, if the annotation gives them.
    """

    path: Path
    annotation: Path
    objects: np.ndarray
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Annotated:
    """Images of one part of a data set, with their objects.

    Attributes:
        images: uint8, (N, channels, height, width).
        objects: Of each image, float32, (objects, 6); an image may have none.
    """

    images: np.ndarray
    objects: Sequence[np.ndarray]


@dataclass(frozen=True)
class Pictures:
    """The pictures of a data set.

    Attributes:
        class_names: Of label 0, 1, ...
        train: Pictures for training and validation.
        test: Pictures for the test.
    """

    class_names: tuple[str, ...]
    train: Sequence[Picture]
    test: Sequence[Picture]


class AnnotatedSource(DataSource):
    """Base class of data sets whose pictures have boxes. A subclass reads the annotations."""

    Options: ClassVar[type[BaseModel]] = BoxOptions

    def __init__(self, folder: Path, **options: Any) -> None:
        """Validate the options; nothing is read yet.

        Args:
            folder: Absolute path.
            options: Of ``Options``.

        Raises:
            SpecError: An option is unknown or wrong.
        """
        self.folder = folder
        try:
            self.options: Any = self.Options.model_validate(options)
        except ValidationError as error:
            raise SpecError(faults_of(error, self.Options, f"data set {folder.name}")) from None

    @abstractmethod
    def pictures(self) -> Pictures:
        """List the pictures and read their annotations.

        Raises:
            DataError: A file is missing or damaged, or names a class that is not known.
        """

    def fingerprint(self) -> str:
        """Return a digest of the pictures' and annotations' content and places, and of the options."""
        found = self.pictures()
        digest = sha256(self.options.model_dump_json().encode())
        digest.update("\0".join(found.class_names).encode())
        for part in (found.train, found.test):
            for picture in part:
                place = _place(picture.path, self.folder)
                digest.update(f"\n{place}\0{_digest_of(picture.path)}\0".encode() + picture.objects.tobytes())
            digest.update(b"\n")
        return digest.hexdigest()[:12]

    def decode(self) -> Arrays:
        """Decode all pictures, and stretch them and their boxes to one size.

        Pictures that cannot be decoded are left out; boxes without an area are dropped, and those that reach outside
        the picture are cut. The arrays' remarks count and name them.

        Raises:
            DataError: See :meth:`pictures`; or no picture of a part can be used.
        """
        found, options = self.pictures(), self.options
        paths = [picture.path for picture in (*found.train, *found.test)]
        channels = options.channels or (1 if is_grey(paths) else 3)
        decoding = Decoding(options.image_size, "stretch", channels)
        notes = _Notes()
        train, test = (_decoded(part, decoding, notes) for part in (found.train, found.test))
        for name, part in (("training", train), ("test", test)):
            if not len(part.images):
                raise DataError(f"{self.folder}: no picture of the {name} part can be decoded")
        some, others = digests(train.images), digests(test.images)
        remarks = (*notes.remarks(), *repetitions(some), *leaked(some, others))
        return packed(train, test, found.class_names, [f"{self.folder}: {remark}" for remark in remarks])


def packed(train: Annotated, test: Annotated, class_names: Sequence[str], remarks: Sequence[str] = ()) -> Arrays:
    """Return two parts as arrays, in which an image's labels are its objects: float32, (N, objects, 6).

    Images with fewer objects are filled up with rows of class -1.
    """
    return Arrays(
        *(train.images, filled(train.objects), test.images, filled(test.objects)),
        class_names=tuple(class_names),
        remarks=tuple(remarks),
    )


def filled(objects: Sequence[np.ndarray]) -> np.ndarray:
    """Return the objects of several images as one array, filled up to the same number, which is at least 1."""
    size = max([1, *map(len, objects)])
    rows = np.zeros((len(objects), size, COLUMNS), np.float32)
    rows[..., 0] = -1
    for image, found in enumerate(objects):
        rows[image, : len(found)] = found
    return rows


@dataclass
class _Notes:
    """What a user should know: pictures by kind of problem, with the number of boxes, or the reason."""

    unusable: list[str] = field(default_factory=list)
    degenerate: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def remarks(self) -> Iterator[str]:
        for names, what in (
            (self.unusable, "left out {}"),
            (self.degenerate, "dropped boxes without an area in {}"),
            (self.outside, "cut boxes that reach outside their picture in {}"),
        ):
            if names:
                pictures = "1 picture" if len(names) == 1 else f"{len(names)} pictures"
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                yield f"{what.format(pictures)}: {', '.join(names[:_NAMED])}{more}"


def _decoded(pictures: Sequence[Picture], decoding: Decoding, notes: _Notes) -> Annotated:
    decoded = decode_all([(picture.path, place) for place, picture in enumerate(pictures)], decoding)
    notes.unusable += [f"{path.name} {reason}" for path, reason in decoded.unusable.items()]
    side = decoding.image_size
    objects = [_scaled(pictures[place], side, notes) for place in decoded.labels.tolist()]
    return Annotated(decoded.images, objects)


def _scaled(picture: Picture, side: int, notes: _Notes) -> np.ndarray:
    """Return the objects of a picture in pixels of the decoded image, without those that have no area."""
    width, height = _size(picture.path)
    if picture.size is not None and picture.size != (width, height):
        written = "x".join(map(str, picture.size))
        raise DataError(
            f"{picture.annotation}: is for a picture of {written} pixels, but {picture.path.name} has "
            f"{width}x{height}; correct its size and boxes, or restore the picture"
        )
    boxes = picture.objects[:, 2:]
    greatest = np.array([width, height, width, height], np.float64)
    if ((boxes < -_TOLERANCE) | (boxes > greatest + _TOLERANCE)).any():
        notes.outside.append(picture.path.name)
    boxes = boxes.clip(0, greatest)
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if dropped := int((~has_area).sum()):
        notes.degenerate.append(f"{picture.path.name} ({dropped})")
    scaled = np.concatenate([picture.objects[:, :2], boxes * (side / greatest)], axis=1)
    return scaled[has_area].astype(np.float32)


def _size(path: Path) -> tuple[int, int]:
    """Return the width and height of a picture as it is decoded: turned as the camera's tag says."""
    with Image.open(path) as opened:
        width, height = opened.size
        is_on_its_side = opened.getexif().get(_ORIENTATION, 1) >= 5
    return (height, width) if is_on_its_side else (width, height)


def _place(path: Path, folder: Path) -> Path:
    """Return a picture's place seen from a folder, which need not contain it."""
    return path.relative_to(folder) if path.is_relative_to(folder) else Path(os.path.relpath(path, folder))


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
