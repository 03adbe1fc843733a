"""Published data sets: found in the data folder, downloaded on request, verified, and decoded once."""

import contextlib
import hashlib
import io
import json
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from kdtune.catalog.builtin import DATASETS
from kdtune.data.arrays import Arrays, decoded_copy, decoded_files, decoded_once, forget_copy
from kdtune.errors import DataError, KdtuneError
from kdtune.storage.files import exclusive_lock
from kdtune.storage.paths import DataDir, cache_dir, require_cache


@dataclass(frozen=True)
class Archive:
    """A file to download and unpack.

    Attributes:
        urls: Download addresses; the first that works is used.
        md5: MD5 checksum of the file.
        folder: Folder under the data folder for the file and its content.
    """

    urls: tuple[str, ...]
    md5: str
    folder: str = "."


class Published(ABC):
    """Base class of published data sets. A subclass defines the archives and the decoding."""

    #: The data set's name in the registry.
    name: str

    @abstractmethod
    def decode(self, root: Path) -> Arrays:
        """Read the files, which have just been verified.

        Args:
            root: The data folder.
        """

    @abstractmethod
    def archives(self) -> list[Archive]:
        """Return the archives to download."""

    def load(self, place: DataDir) -> Arrays:
        """Return the arrays from the decoded copy, or from the files if there is no copy yet.

        Raises:
            DataError: The data set is missing, incomplete or damaged.
        """
        require(self.name, place)

        def verified() -> Arrays:
            self.verify(place.path)
            return self.decode(place.path)

        return decoded_once(self.name, verified, self.fingerprint(place.path))

    def inspect(self, place: DataDir) -> int:
        """Check within about a second whether :meth:`load` will succeed, without importing torch.

        Files and decoded copies are verified again only if their sizes or times have changed. A damaged copy is
        discarded, so that it is decoded again.

        Returns:
            The number of training images.

        Raises:
            DataError: The data set is missing, incomplete or damaged.
            KdtuneError: A damaged copy cannot be replaced.
        """
        require(self.name, place)
        stamp = self._stamp(place.path / file for file in files_of(self.name))
        copy = self._sound_copy(self.fingerprint(place.path))
        if stamp.exists() and copy:
            return len(copy.train_labels)
        self.verify(place.path)
        _touch(stamp)
        return len(copy.train_labels) if copy else self.train_images(place.path)

    def _sound_copy(self, fingerprint: str) -> Arrays | None:
        """Return the decoded copy, verified since its files last changed, or None."""
        copy = decoded_copy(self.name, fingerprint)
        if copy is None:
            return None
        stamp = self._stamp(decoded_files(self.name, fingerprint))
        if stamp.exists():
            return copy
        if copy := decoded_copy(self.name, fingerprint, checked=True):
            _touch(stamp)
        else:
            forget_copy(self.name, fingerprint)
        return copy

    def train_images(self, root: Path) -> int:
        """Return the number of training images in the files, which have just been verified."""
        return int(DATASETS[self.name].facts["train_images"])

    def _stamp(self, files: Iterable[Path]) -> Path:
        """Return the path of the marker that exists if these files have been verified in their current state."""
        states = []
        for path in files:
            with reading(path):
                state = path.stat()
            states.append([str(path), state.st_size, state.st_mtime_ns])
        return cache_dir() / "verified" / f"{self.name}-{digest(json.dumps(states).encode())}"

    def download(self, place: DataDir, *, tell: Callable[[str], None], show_bar: bool) -> None:
        """Download and unpack the data set, unless it is complete.

        Args:
            place: The data folder.
            tell: Called with a message before a connection is opened.
            show_bar: Draw a progress bar on standard error.

        Raises:
            KdtuneError: It cannot be downloaded or written.
        """
        if self._is_whole(place) or not self.archives():
            return  # also if the folder is read-only
        with _written_to(place), exclusive_lock(place.path, remedy=f"name a folder on a local disk by {place.remedy}"):
            if self._is_whole(place):  # another process may have downloaded it in the meantime
                return
            tell(f"downloading {self.name} ({DATASETS[self.name].facts['download_mb']} MB) to {place.path}")
            for archive in self.archives():
                with contextlib.nullcontext() if show_bar else contextlib.redirect_stderr(io.StringIO()):
                    self._fetch(archive, place.path)
            require(self.name, place)
            self.verify(place.path)

    def _is_whole(self, place: DataDir) -> bool:
        try:
            require(self.name, place)
            self.verify(place.path)
        except DataError:
            return False
        return True

    def _fetch(self, archive: Archive, root: Path) -> None:
        """Download and unpack an archive; an archive that is already present is only unpacked."""
        from torchvision.datasets.utils import download_and_extract_archive

        failures = []
        for url in archive.urls:
            try:
                download_and_extract_archive(url, str(root / archive.folder), md5=archive.md5)
                return
            except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, zipfile.BadZipFile) as error:
                failures.append(f"{url}: {str(error) or type(error).__name__}")
        raise KdtuneError(f"{self.name}: could not be downloaded: {'; '.join(failures)}")

    def fingerprint(self, root: Path) -> str:
        """Return 12 hexadecimal digits that identify the source among others of the same name.

        By default they are a hash of the known checksums: all files with these checksums decode to the same arrays.
        """
        return digest(json.dumps(files_of(self.name)).encode())

    def verify(self, root: Path) -> None:
        """Compare every file with its published checksum. Nothing is unpickled before this check.

        Raises:
            DataError: A file differs from the published one.
        """
        for file, known in files_of(self.name).items():
            path = root / file
            with reading(path), path.open("rb") as stream:
                found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != known:
                raise DataError(
                    f"{self.name}: {path} is damaged: its md5 is {found}, which should be {known}; "
                    f"{download_hint(self.name)}"
                )


def files_of(name: str) -> dict[str, str | None]:
    """Return the required files, relative to the data folder, with their MD5 if it is known."""
    return dict(DATASETS[name].facts["files"])


def missing_files(name: str, root: Path) -> list[str]:
    """Return the files of the data set that are missing from the data folder."""
    return [file for file in files_of(name) if not (root / file).exists()]


def download_hint(name: str) -> str:
    """Return the option that downloads a data set, and its size; or what to do by hand."""
    if by_hand := DATASETS[name].facts.get("by_hand"):
        return str(by_hand)
    return f"--download fetches it ({DATASETS[name].facts['download_mb']} MB)"


def require(name: str, place: DataDir) -> None:
    """Check that all files of a data set are present.

    Raises:
        DataError: Files are missing; the message names the folder and the remedy.
    """
    missing = missing_files(name, place.path)
    if not missing:
        return
    state = "not found" if len(missing) == len(files_of(name)) else "incomplete"
    raise DataError(
        f"{name}: {state} in {place}: {missing[0]} is missing; {download_hint(name)}, or name the folder that holds "
        f"it with {place.remedy}"
    )


def published_fingerprint(name: str, root: Path) -> str:
    """Return what identifies the files of a published data set; empty for any other data set."""
    return str(DATASETS.load(name)().fingerprint(root)) if name in DATASETS and files_of(name) else ""


def obtain(
    name: str,
    place: DataDir,
    *,
    download: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    show_bar: bool = False,
) -> int:
    """Check, before a study uses energy, that a data set can be loaded; download it on request.

    Args:
        name: Name of the data set.
        place: The data folder.
        download: Download missing or damaged files; otherwise no connection is opened.
        tell: Called with a message before a download.
        show_bar: Draw a progress bar while downloading.

    Returns:
        The number of training images, which is smaller than published for a subset made by the user.

    Raises:
        UsageError: The cache cannot be written.
        DataError: The data set is missing, incomplete or damaged.
        KdtuneError: It cannot be downloaded.
    """
    require_cache()
    if not files_of(name):
        return int(DATASETS[name].facts["train_images"])
    source: Published = DATASETS.load(name)()
    if download:
        source.download(place, tell=tell, show_bar=show_bar)
    return source.inspect(place)


def _touch(stamp: Path) -> None:
    with contextlib.suppress(OSError):  # without a marker the files are verified again next time
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()


def digest(content: bytes) -> str:
    """Return a hash of 12 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:12]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert an ``OSError`` to a message that names the file or folder.

    Raises:
        DataError: The body raised an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


@contextlib.contextmanager
def _written_to(place: DataDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KdtuneError(f"{place}: cannot be written ({error.strerror or error}); name another --data-dir") from None
