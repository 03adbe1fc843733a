"""Imports attributes of modules and Python files that a user names."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from kdtune.catalog.source_digest import digest_of_file

#: Digest of the file, by its folder, for which modules of the folder were last imported.
_DIGESTS: dict[Path, str] = {}


def attribute_of_module(module: str, attribute: str) -> Any:
    """Import a module and return an attribute of it.

    Raises:
        AttributeError: The module has no such attribute; the message names those that it defines.
        Exception: Any error that the module raises while it is imported.
    """
    return _attribute(importlib.import_module(module), attribute)


def attribute_of_file(file: Path, attribute: str) -> Any:
    """Run a Python file as a module and return an attribute of it.

    The file may import modules from its own folder. If the file or such a module was edited after the last import, all
    of them are imported again.

    Raises:
        OSError: The file cannot be read.
        AttributeError: The file defines no such attribute; the message names those that it defines.
        Exception: Any error that the file raises while it runs.
    """
    file = file.resolve()
    digest = digest_of_file(file)
    name = f"_kdtune_local_{digest[:16]}_{file.stem}"
    module = sys.modules.get(name)
    if module is None:
        if _DIGESTS.get(file.parent, digest) != digest:
            _forget_modules_in(file.parent)
        _DIGESTS[file.parent] = digest
        module = _run(file, name)
    return _attribute(module, attribute)


def _run(file: Path, name: str) -> ModuleType:
    """Run a file as a module with the given name."""
    spec = spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up the module of a class while it is defined
    try:
        with _first_on_path(file.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Let imports search a folder first."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _forget_modules_in(folder: Path) -> None:
    """Remove imported modules of a folder, so that they are imported again."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).parent == folder and name != "__main__":
            del sys.modules[name]


def _attribute(module: ModuleType, attribute: str) -> Any:
    """Return an attribute of a module; it may contain dots."""
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            defined = [name for name, one in vars(module).items() if not name.startswith("_") and callable(one)]
            where = getattr(module, "__file__", None) or module.__name__
            raise AttributeError(f"{where} has no {attribute!r}; it defines {', '.join(defined) or 'nothing callable'}")
        found = getattr(found, part)
    return found
