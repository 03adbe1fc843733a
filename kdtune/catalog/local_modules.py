"""Imports attributes of modules and Python files that a user names."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import cache_from_source, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from kdtune.catalog.source_digest import (
    LocalSources,
    State,
    is_installed,
    sources_of_file,
    sources_of_module,
    state_of,
)
from kdtune.errors import SourceChangedError

#: SHA-256 of the source from which each local module was imported, by its name in ``sys.modules``.
_IMPORTED: dict[str, str] = {}

#: State of the file of each local module when a component was loaded that may import it later, within a function.
_NOT_YET_IMPORTED: dict[str, State] = {}

#: Modules that the program imported and kdtune imported again; the program may still use their functions and classes.
_REPLACED: dict[str, ModuleType] = {}


def attribute_of_module(module: str, attribute: str) -> Any:
    """Import a module and return an attribute of it.

    A module that was edited since it was imported, by kdtune or by any other code, is imported again, together with the
    local modules that it uses.

    Raises:
        AttributeError: The module has no such attribute; the message names those that it defines.
        Exception: Any error that the module raises while it is imported.
    """
    try:
        sources = sources_of_module(module)
    except ModuleNotFoundError:  # a compiled module has no source that could be edited
        return _attribute(importlib.import_module(module), attribute)
    forget_stale(sources)
    found = importlib.import_module(module)
    note_imported(sources)
    return _attribute(found, attribute)


def is_attribute_of_module(component: object, module: str, attribute: str) -> bool:
    """Return whether an object is an attribute of a module, as it is now or as the program had imported it earlier."""
    for one in (importlib.import_module(module), _REPLACED.get(module)):
        found: Any = one
        for part in attribute.split("."):
            found = getattr(found, part, None)
        if found is component:
            return True
    return False


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
    sources = sources_of_file(file)
    name = f"_kdtune_local_{sources.digest[:16]}_{file.stem}"
    module = sys.modules.get(name)
    if module is None or Path(str(module.__file__)) != file or _edited(sources):
        forget_stale(sources, run_as_file=file.stem)
        module = _run(file, name)
        note_imported(sources)
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
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # for imports within functions, which run later
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


def forget_stale(sources: LocalSources, run_as_file: str = "") -> None:
    """Remove modules from ``sys.modules`` whose source was edited, or that come from another folder.

    If one of a component's modules is stale, all of them are removed, since others may hold references to its content.
    Modules of the standard library and of installed packages are never removed.

    Args:
        sources: The source files of the component.
        run_as_file: Name of a file that is run and not imported, so that a module of this name may be any other one.

    Raises:
        SourceChangedError: An installed package was replaced after it was imported.
    """
    own = _own_modules(sources)
    edited = _edited(sources)
    if replaced := [name for name in sorted(edited) if is_installed(sources.files[name])]:
        raise SourceChangedError(f"{replaced[0]}: was installed anew after it was imported; start a new process")
    others = {name for name in sources.files.keys() & sys.modules.keys() if name not in own and _is_local(name)}
    others -= {run_as_file, "__main__"}
    if edited or others:
        for name in {name for name in own if not is_installed(sources.files[name])} | others:
            module = sys.modules.pop(name)
            if _IMPORTED.pop(name, None) is None and name in own:
                _REPLACED[name] = module
        importlib.invalidate_caches()
    _remove_bytecode(sources)


def _remove_bytecode(sources: LocalSources) -> None:
    """Remove the bytecode of a component's modules that will be imported.

    Python uses it as long as the size of the source and its time in whole seconds are the same, so it may be that of an
    earlier source.
    """
    for name in sources.files.keys() - _own_modules(sources):
        if not is_installed(sources.files[name]):
            with suppress(OSError):  # such as a folder that cannot be written; nothing has been edited there
                Path(cache_from_source(str(sources.files[name]))).unlink(missing_ok=True)


def _edited(sources: LocalSources) -> set[str]:
    """Return the names of a component's modules that may have been imported from an earlier source.

    Python does not keep the source of a module that other code has imported: the user's program, or a function of the
    component. Such a module counts as edited if its file has changed since it was known not to be imported.
    """
    edited = set()
    for name in _own_modules(sources):
        file = sources.files[name]
        if name in _IMPORTED:
            is_edited = _IMPORTED[name] != sources.hashes[name]
        elif is_installed(file):
            is_edited = False
        elif name in _NOT_YET_IMPORTED:
            is_edited = _NOT_YET_IMPORTED[name] != state_of(str(file))
        else:
            is_edited = _changed_in_this_process(file)
        if is_edited:
            edited.add(name)
    return edited


def _changed_in_this_process(file: Path) -> bool:
    """Return whether a file may have been changed since this process began."""
    state = file.stat()  # the second time changes even if the first is set to that of another file
    return max(state.st_mtime, state.st_ctime) >= _start_of_process()


@cache
def _start_of_process() -> float:
    """Return when this process began, in seconds since 1970, rounded down to whole seconds, minus one second."""
    import psutil

    return psutil.Process().create_time() // 1 - 1


def _own_modules(sources: LocalSources) -> set[str]:
    """Return the names of a component's modules that have been imported from its files.

    Links are followed, since a folder on ``sys.path`` may be one. The program itself, ``__main__``, is never one of
    them, because it cannot be imported again.
    """
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in sources.files if name != "__main__"}
    return {name for name, file in files.items() if file and Path(file).resolve() == sources.files[name].resolve()}


def _is_local(name: str) -> bool:
    """Return whether an imported module belongs neither to the standard library nor to an installed package."""
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", []))  # a folder without __init__.py has no file
    return bool(places) and not any(is_installed(Path(place)) for place in places)


def note_imported(sources: LocalSources) -> None:
    """Record the sources of a component's modules that have been imported, and which have not been imported yet."""
    for name in _own_modules(sources):
        _IMPORTED[name] = sources.hashes[name]
    for name in sources.files.keys() - sys.modules.keys():
        _IMPORTED.pop(name, None)
        _NOT_YET_IMPORTED[name] = state_of(str(sources.files[name]))


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
