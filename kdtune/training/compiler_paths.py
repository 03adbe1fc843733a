"""Paths that a compiler's command line takes as one word, whatever the folder that they lead to is called.

torch's compiler puts the paths of its files into a command line without quoting them, and splits that at spaces and
quotes again. Letters that are not ASCII do no harm. Imports no torch.
"""

import os
import shlex
import stat
import tempfile
from hashlib import sha256
from pathlib import Path

from kdtune.errors import CompileError

#: Where else links may be put, if the temporary folder has such a name itself.
_SHARED = ("/tmp", "/var/tmp")


def is_plain(path: Path | str) -> bool:
    """Return whether a path stays one word if a command line that contains it is split into words."""
    try:
        return shlex.split(str(path)) == [str(path)]
    except ValueError:  # a quote that is not closed
        return False


def plain_path(folder: Path) -> Path:
    """Return a path without spaces to a folder: the given one, or that of a symbolic link to it.

    All processes of a user on a machine use the same link. It lies in a folder to which other users cannot write.

    Args:
        folder: Absolute path, which need not exist yet.

    Raises:
        CompileError: There is no folder for such a link.
    """
    if is_plain(folder):
        return folder
    for base in dict.fromkeys((tempfile.gettempdir(), *_SHARED)):
        if is_plain(base):
            try:
                return _link(Path(base) / f"kdtune-links-{os.getuid()}", folder)
            except OSError:
                continue  # it does not exist, is not writable, or belongs to another user
    raise CompileError(
        f"{folder}: networks cannot be compiled into a folder with such a name, since torch's compiler splits it at "
        "its spaces or quotes; set KDTUNE_CACHE_DIR to a folder whose path has none, or leave compiling out with "
        "--set numerics.compile=off"
    )


def _link(place: Path, folder: Path) -> Path:
    """Return a link to a folder, in a folder to which only this user can write.

    Raises:
        OSError: The folder for links cannot be made, or others may write to it.
    """
    place.mkdir(mode=0o700, exist_ok=True)
    state = place.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(f"{place} may be written by others")
    link = place / sha256(os.fsencode(folder)).hexdigest()[:16]
    if link.is_symlink() and link.readlink() == folder:
        return link
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder)
    temporary.replace(link)
    return link
