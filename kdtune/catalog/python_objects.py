"""References to functions and classes that a program passes as they are."""

import re
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from pickletools import genops
from typing import Any

from kdtune.catalog.component_digest import component_digest
from kdtune.catalog.local_modules import forget_stale, is_attribute_of_module, note_imported
from kdtune.catalog.packages import versions_of
from kdtune.catalog.source_digest import find_module, is_installed, sources_of_module
from kdtune.storage.files import replaced_atomically
from kdtune.storage.paths import cache_dir

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

#: Prefix of references to pickled functions and classes.
PICKLE = "pickle"


def reference_to(component: Callable[..., Any]) -> str:
    """Return a reference under which other processes find a function or a class.

    Whatever its module defines at the top level is referred to as ``package.module:NAME``. Anything else, such as a
    function of a notebook or of a script, is pickled by value into the cache.

    Raises:
        ValueError: It cannot be pickled.
    """
    module, name = getattr(component, "__module__", None) or "", getattr(component, "__qualname__", "")
    importable = module not in ("", "__main__") and "<locals>" not in name
    if importable and is_attribute_of_module(component, module, name):
        return f"{module}:{name}"
    return f"{PICKLE}:{_pickled(component)}"


def _pickled(component: Callable[..., Any]) -> Path:
    import cloudpickle

    try:
        content = cloudpickle.dumps(component)
    except Exception as error:  # any error of any object's own pickling
        raise ValueError(f"{component!r} cannot be pickled ({error}); define it in a module of its own") from None
    name = getattr(component, "__name__", type(component).__name__)
    path = cache_dir() / "components" / f"{name}-{sha256(content).hexdigest()[:16]}.pkl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(path) as file:
            file.write(content)
    return path


def _modules_in(pickled: bytes) -> tuple[list[str], set[str]]:
    """Return the local modules and the top-level names of others that a pickle refers to instead of containing them."""
    names = {argument for _, argument, _ in genops(pickled) if isinstance(argument, str)}
    local, others = [], set()
    for name in sorted({part for text in names for part in text.split()}):  # an old protocol joins module and name
        if _MODULE.fullmatch(name):
            file = find_module(name, sys.path)
            if file and not is_installed(file):
                local.append(name)
            elif file:
                others.add(name.partition(".")[0])
    return local, others - {"cloudpickle"}


class _Pickles:
    """The scheme of pickled functions and classes. Their content identifies them, and that of the modules they use."""

    def identify(self, name: str) -> str:
        """Return the digest of a file, with the modules that the pickle refers to.

        Raises:
            ValueError: The file cannot be read.
        """
        try:
            pickled = Path(name).read_bytes()
        except OSError as error:
            raise ValueError(
                f"{name}: cannot be read ({error.strerror}); begin the study anew in the program that defines "
                "the component"
            ) from None
        digest = sha256(pickled)
        local, packages = _modules_in(pickled)
        for sources in map(sources_of_module, local):
            digest.update(sources.digest.encode())
            packages |= sources.packages
        return component_digest(digest.hexdigest(), versions_of(packages))

    def load(self, name: str) -> Any:
        """Return the function or class that a file holds."""
        import cloudpickle

        pickled = Path(name).read_bytes()
        sources = [sources_of_module(module) for module in _modules_in(pickled)[0]]
        for one in sources:
            forget_stale(one)
        component = cloudpickle.loads(pickled)
        for one in sources:
            note_imported(one)
        return component


PICKLES = _Pickles()
