"""Code that ``torch.compile`` generates for a study's networks, generated once and kept in the cache.

A folder holds ``code/`` (the compiler's own cache), the ledger with the energy of compiling, and ``made.json``, which
is written last: a folder without it is incomplete. The folder is named by a hash of everything that the code depends
on. This module does not import torch, which the driver does not need otherwise.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from kdtune.specs.component import Component, identity_of
from kdtune.specs.numerics import Numerics
from kdtune.storage.checksums import CHECKSUM_KEY, verified, with_checksum
from kdtune.storage.files import read_whole, write_json
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir
from kdtune.training.compiler_paths import plain_path

#: Name of the folder in the cache, and of the kind in :data:`kdtune.artifacts.caches.KINDS`.
KIND = "compilations"

#: Environment variables of the compiler that this module sets.
_CODE_FOLDER, _TRITON_FOLDER, _THREADS = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS"
_VARIABLES = (_CODE_FOLDER, _TRITON_FOLDER, _THREADS)

#: Number that is increased when the compiled code, or the way of compiling it, changes.
FORMAT = 1


@dataclass(frozen=True)
class CompiledCode:
    """A folder of generated code.

    Attributes:
        folder: Its path; it need not exist yet.
    """

    folder: Path

    @property
    def code(self) -> Path:
        """The compiler's cache folder."""
        return self.folder / "code"

    @property
    def ledger(self) -> Path:
        """The folder of the ledgers that record the energy of compiling."""
        return self.folder / "ledger"

    @property
    def _made(self) -> Path:
        return self.folder / "made.json"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of a process that generates its code in this folder or reads it from there.

        Raises:
            CompileError: The compiler cannot use the folder's path.
        """
        code = plain_path(self.code)
        # Triton keeps the first folder that a process uses, which may be that of another compilation.
        return {_CODE_FOLDER: str(code), _TRITON_FOLDER: str(code / "triton")}

    def use(self) -> None:
        """Make the folder the compiler's cache for the rest of this process.

        Raises:
            CompileError: The compiler cannot use the folder's path.
        """
        self.code.mkdir(parents=True, exist_ok=True)
        os.environ.update(self.environment)

    def look_up(self) -> None:
        """Make this process read its code from the folder, which is complete, so no compiler processes are started.

        Raises:
            CompileError: The compiler cannot use the folder's path.
        """
        self.use()
        os.environ.setdefault(_THREADS, "1")

    def is_made(self) -> bool:
        """Return whether all code was generated and its energy measured; False if ``made.json`` cannot be read."""
        try:
            note = parse_json(read_whole(self._made))
            return CHECKSUM_KEY in note and bool(verified(note)["format"] == FORMAT) and self.code.is_dir()
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def mark_complete(self) -> None:
        """Write ``made.json``, which marks the folder as complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._made, with_checksum({"format": FORMAT}))


@contextmanager
def compiler_environment_restored() -> Iterator[None]:
    """Restore the variables that :meth:`CompiledCode.look_up` sets, so that other code gets into another folder."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _written() -> str:
    """Return a digest of the networks' source, which may change without a change of the version."""
    specs = find_spec("kdtune.models"), find_spec("kdtune.training.fast_bfloat16_layers")
    models, layers = (Path(spec.origin) for spec in specs if spec and spec.origin)
    files = [*sorted(models.parent.glob("*.py")), layers]
    return sha256(b"\0".join(read_whole(file) for file in files)).hexdigest()


@dataclass(frozen=True)
class CodeDependencies:
    """Everything that the generated code depends on.

    Attributes:
        student: The student.
        teacher: A teacher that runs in every step and is compiled too; None without one.
        image_shape: (channels, height, width).
        classes: Number of logits of an image.
        batch_size: Images of a step. Code for one batch size serves no other.
        numerics: Precision and memory layout.
        threads: CPU threads over which the code distributes its loops; None on a GPU.
        device: Model name of the CPU or GPU.
        torch_version: Version of torch, which contains the compiler.
    """

    student: Component
    teacher: Component | None
    image_shape: Sequence[int]
    classes: int
    batch_size: int
    numerics: Numerics
    threads: int | None
    device: str
    torch_version: str

    @property
    def compilation(self) -> CompiledCode:
        """The folder of the code, which need not exist yet."""
        fields = {**asdict(self), "numerics": self.numerics.model_dump(), "format": FORMAT, "written": _written()}
        fields["student"] = str(identity_of(self.student))
        fields["teacher"] = self.teacher and str(identity_of(self.teacher))
        key = sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
        named = "-".join(one.slug for one in (self.teacher, self.student) if one)
        return CompiledCode(cache_dir() / KIND / f"{named}-{key}")
