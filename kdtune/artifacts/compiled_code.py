"""Code that ``torch.compile`` generates for a study's networks, generated once and kept in the cache.

A folder holds ``code/`` (the compiler's own cache), the energy ledger of the compiling, and ``made.json``, written
last: without it nothing there is whole. It is named by a hash of everything that the code depends on. Imports no torch:
the driver has no other need of it.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from kdtune.specs.study import Numerics
from kdtune.storage.checksums import SEAL, sealed, unsealed
from kdtune.storage.files import read_whole, write_json
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir
from kdtune.training.compiler_paths import plain_path

#: Of :func:`kdtune.artifacts.caches.cached`, and the folder in the cache.
KIND = "compilations"

#: Raised when what is compiled, or how, changes.
FORMAT = 1


@dataclass(frozen=True)
class Compilation:
    """One folder of generated code.

    Attributes:
        folder: Need not exist yet.
    """

    folder: Path

    @property
    def code(self) -> Path:
        """Where the compiler finds what it has generated."""
        return self.folder / "code"

    @property
    def ledger(self) -> Path:
        """Where the energy of the compiling is kept."""
        return self.folder / "ledger"

    @property
    def _made(self) -> Path:
        return self.folder / "made.json"

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that generates its code there, or finds it.

        Raises:
            CompileError: The compiler cannot be given that place.
        """
        code = plain_path(self.code)
        # Triton's own place stays where it was first: that of another compilation in the same process, it may be.
        return {"TORCHINDUCTOR_CACHE_DIR": str(code), "TRITON_CACHE_DIR": str(code / "triton")}

    def use(self) -> None:
        """Let whatever this process compiles from now on be looked for there first.

        Raises:
            CompileError: The compiler cannot be given that place.
        """
        self.code.mkdir(parents=True, exist_ok=True)
        os.environ.update(self.environment)

    def look_up(self) -> None:
        """Let this process find its code there; as all of it is there, no processes are started to compile.

        Raises:
            CompileError: The compiler cannot be given that place.
        """
        self.use()
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

    def is_made(self) -> bool:
        """Whether all of it was generated, and its energy counted; a note that cannot be read is none."""
        try:
            note = parse_json(read_whole(self._made))
            return SEAL in note and bool(unsealed(note)["format"] == FORMAT) and self.code.is_dir()
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def note_made(self) -> None:
        """Note that it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._made, sealed({"format": FORMAT}))


def _written() -> str:
    """A digest of the networks' source, whatever the version is called."""
    specs = find_spec("kdtune.models"), find_spec("kdtune.training.fast_bfloat16_layers")
    models, layers = (Path(spec.origin) for spec in specs if spec and spec.origin)
    files = [*sorted(models.parent.glob("*.py")), layers]
    return sha256(b"\0".join(read_whole(file) for file in files)).hexdigest()


@dataclass(frozen=True)
class Networks:
    """What code is generated for, and by what: all that it depends on.

    Attributes:
        student: Its architecture.
        teacher: The same of a teacher that is asked in every step, and so compiled too; None where none is.
        image_shape: (channels, height, width).
        classes: Logits of an image.
        batch_size: Images of a step: there is no code for other numbers of them.
        numerics: Precision and memory layout.
        threads: CPU threads among which the code shares out its loops; None on a GPU.
        device: The model of it.
        torch_version: Whose compiler it is.
    """

    student: str
    teacher: str | None
    image_shape: Sequence[int]
    classes: int
    batch_size: int
    numerics: Numerics
    threads: int | None
    device: str
    torch_version: str

    @property
    def compilation(self) -> Compilation:
        """Where their code is kept, or will be."""
        fields = {**asdict(self), "numerics": self.numerics.model_dump(), "format": FORMAT, "written": _written()}
        key = sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
        named = f"{self.teacher}-{self.student}" if self.teacher else self.student
        return Compilation(cache_dir() / KIND / f"{named}-{key}")
