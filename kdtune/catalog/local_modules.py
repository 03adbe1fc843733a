"""Imports attributes of modules and of Python files that a user names."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from kdtune.catalog.source_digest import digest_of_file

#: Digest under which the modules of a folder were imported last.
_DIGESTS: dict[Path, str] = {}


def attribute_of_module(module: str, attribute: str) -> Any:
    """Import a module and return an attribute of it.

    Raises:
        AttributeError: The module has no such attribute; the message names those that it defines.
        Exception: Whatever the module raises while it is imported.
    """
    return _attribute(importlib.import_module(module), attribute)


def attribute_of_file(file: Path, attribute: str) -> Any:
    """Run a Python file as a module and return an attribute of it.

    The file may import modules that lie beside it. A file that was edited since it was last run is run again, and so
    are the modules beside it.

    Raises:
        OSError: The file cannot be read.
        AttributeError: The file defines no such attribute; the message names those that it does.
        Exception: Whatever the file raises while it runs.
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
    spec = spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up while it is made
    try:
        with _first_on_path(file.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _forget_modules_in(folder: Path) -> None:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).parent == folder and name != "__main__":
            del sys.modules[name]


def _attribute(module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            defined = [name for name, one in vars(module).items() if not name.startswith("_") and callable(one)]
            where = getattr(module, "__file__", None) or module.__name__
            raise AttributeError(f"{where} has no {attribute!r}; it defines {', '.join(defined) or 'nothing callable'}")
        found = getattr(found, part)
    return found
