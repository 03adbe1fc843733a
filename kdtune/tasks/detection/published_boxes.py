"""Published data sets with boxes, found in the data folder: PASCAL VOC 2007 and 2012, and the blood cells of BCCD."""

from collections.abc import Iterator
from pathlib import Path

from kdtune.data.arrays import Arrays
from kdtune.data.published import Archive, Published, digest, reading
from kdtune.tasks.detection.voc_folder import VocFolder


class _VocLayout(Published):
    """Base class of data sets in the layout of PASCAL VOC, or any subset of their pictures in it."""

    def folder(self, root: Path) -> VocFolder:
        """Return the folder, with the options under which the data set has its name."""
        raise NotImplementedError

    def fingerprint(self, root: Path) -> str:
        """Hash the lists and annotations, and the names and sizes of the pictures, so that a subset is another set."""
        found = self.folder(root).pictures()
        parts = ["\0".join(found.class_names)]
        for part in (found.train, found.test):
            for picture in part:
                with reading(picture.path):
                    size = picture.path.stat().st_size
                parts.append(f"{picture.path.relative_to(root)} {size} {picture.objects.tobytes().hex()}")
            parts.append("")
        return digest("\n".join(parts).encode())

    def verify(self, root: Path) -> None:
        """Check that every listed picture and annotation exists and can be read.

        Raises:
            DataError: A file is missing or invalid.
        """
        self.folder(root).pictures()

    def train_images(self, root: Path) -> int:
        """Return the number of listed pictures for training and validation."""
        return len(self.folder(root).pictures().train)

    def decode(self, root: Path) -> Arrays:
        """Decode all pictures; see :meth:`kdtune.tasks.detection.annotations.AnnotatedSource.decode`."""
        return self.folder(root).decode()


class Voc0712(_VocLayout):
    """PASCAL VOC, 2007 and 2012 for training and 2007 for the test, stretched to 300x300 (Everingham et al. 2010)."""

    name = "voc"

    def folder(self, root: Path) -> VocFolder:
        """See the base class."""
        return VocFolder(root / "VOCdevkit", image_size=300, channels=3)

    def archives(self) -> list[Archive]:
        """Return the archives of both years, with torchvision's checksums."""
        return [*_archives()]


class Bccd(_VocLayout):
    """Blood cells, stretched to 128x128: the authors' lists for training and validation together, and their test."""

    name = "bccd"

    def folder(self, root: Path) -> VocFolder:
        """See the base class."""
        return VocFolder(root / "BCCD", image_size=128, channels=3)

    def archives(self) -> list[Archive]:
        """Return nothing: the authors publish a folder, which has to be copied."""
        return []


def _archives() -> Iterator[Archive]:
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    for year in ("2007", "2012", "2007-test"):
        known = DATASET_YEAR_DICT[year]
        yield Archive((known["url"],), known["md5"])
