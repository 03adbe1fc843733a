"""Data sets that others publish: found in the data folder, downloaded when asked, verified, decoded once."""

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

from kdtune.data import DATASETS
from kdtune.data.arrays import Arrays, decoded_copy, decoded_files, decoded_once, forget_copy
from kdtune.errors import DataError, KdtuneError
from kdtune.storage.files import alone_in
from kdtune.storage.paths import DataDir, cache_dir, require_cache


@dataclass(frozen=True)
class Archive:
    """A file to download and unpack.

    Attributes:
        urls: Where it can be had, the first that answers counts.
        md5: Its checksum.
        folder: Where it goes and is unpacked, under the data folder.
    """

    urls: tuple[str, ...]
    md5: str
    folder: str = "."


class Published(ABC):
    """A data set under the data folder. A subclass knows its archives and how to decode it."""

    #: The data set's name in the registry.
    name: str

    @abstractmethod
    def decode(self, root: Path) -> Arrays:
        """Read the files, which were verified just before.

        Args:
            root: The data folder.
        """

    @abstractmethod
    def archives(self) -> list[Archive]:
        """What to download."""

    def load(self, place: DataDir) -> Arrays:
        """The arrays: from the decoded copy, or from the files where there is none yet.

        Raises:
            DataError: The data set is missing, incomplete or damaged.
        """
        require(self.name, place)

        def verified() -> Arrays:
            self.verify(place.path)
            return self.decode(place.path)

        return decoded_once(self.name, verified, self.fingerprint(place.path))

    def inspect(self, place: DataDir) -> int:
        """Look whether :meth:`load` will succeed, in about a second; imports no torch.

        What was verified once, files or decoded copy, is so again only where sizes or times have changed. A damaged
        copy is put aside, so that it is decoded again.

        Returns:
            How many training images there are.

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
        """The decoded copy, whose checksums have been compared since its files last changed; None without one."""
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
        """How many training images the files hold, which were verified just before."""
        return int(DATASETS[self.name].facts["train_images"])

    def _stamp(self, files: Iterable[Path]) -> Path:
        """A file in the cache that exists if some of the data set's files were found sound as they are now."""
        states = []
        for path in files:
            with reading(path):
                state = path.stat()
            states.append([str(path), state.st_size, state.st_mtime_ns])
        return cache_dir() / "verified" / f"{self.name}-{digest(json.dumps(states).encode())}"

    def download(self, place: DataDir, *, tell: Callable[[str], None], show_bar: bool) -> None:
        """Download and unpack the data set, unless it is there and whole.

        Args:
            place: Where to put it.
            tell: Is told before a connection is made.
            show_bar: Draw a progress bar on standard error.

        Raises:
            KdtuneError: It cannot be had, or not be written.
        """
        if self._is_whole(place):
            return  # also where nothing may be written
        with _written_to(place), alone_in(place.path, remedy=f"name a folder on a local disk by {place.remedy}"):
            if self._is_whole(place):  # another process may have fetched it meanwhile
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
        """Download and unpack; what was downloaded already is only unpacked."""
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
        """What tells the source from others of the same name, 12 hexadecimal digits.

        Here of the known checksums: whatever passes them decodes to the same arrays.
        """
        return digest(json.dumps(files_of(self.name)).encode())

    def verify(self, root: Path) -> None:
        """Compare every file with its known checksum. Nothing is unpickled before that.

        Raises:
            DataError: A file is not the published one.
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
    """What has to lie in the data folder, relative to it, each with its md5 where that is known."""
    return dict(DATASETS[name].facts["files"])


def missing_files(name: str, root: Path) -> list[str]:
    """Which of the data set's files are not in the data folder."""
    return [file for file in files_of(name) if not (root / file).exists()]


def download_hint(name: str) -> str:
    """What to type to get a data set, and how large it is."""
    return f"--download fetches it ({DATASETS[name].facts['download_mb']} MB)"


def require(name: str, place: DataDir) -> None:
    """Refuse to go on without a data set.

    Raises:
        DataError: Files are missing; says where they were sought and what to type.
    """
    missing = missing_files(name, place.path)
    if not missing:
        return
    state = "not found" if len(missing) == len(files_of(name)) else "incomplete"
    raise DataError(
        f"{name}: {state} in {place}: {missing[0]} is missing; {download_hint(name)}, or name the folder that holds "
        f"it with {place.remedy}"
    )


def obtain(
    name: str,
    place: DataDir,
    *,
    download: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    show_bar: bool = False,
) -> int:
    """See to it that a data set can be loaded, before anything is spent on a study.

    Args:
        name: Of the data set.
        place: The data folder.
        download: Fetch what is missing or damaged; without it no connection is made.
        tell: Is told of a download before it begins.
        show_bar: Draw a progress bar while downloading.

    Returns:
        How many training images there are: a subset that somebody made has fewer than were published.

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
    with contextlib.suppress(OSError):  # without a stamp it is looked at again next time
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()


def digest(content: bytes) -> str:
    """A short hash, 12 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:12]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file, or the folder, that could not be read.

    Raises:
        DataError: The body met an ``OSError``.
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
