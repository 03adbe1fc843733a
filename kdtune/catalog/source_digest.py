"""Digests of a Python module together with the local modules that it imports, computed without running any of them."""

import ast
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import cast

from kdtune.catalog.component_digest import component_digest
from kdtune.catalog.packages import versions_of

#: What changes when a file is edited, or when a module is added to a folder or removed; None if nothing is there.
State = tuple[int, ...] | None

#: Sources that were read, by file, module and path, with the states of all files that were read and of all folders that
#: were searched, from before they were read: a network is built often.
_KEPT: dict[tuple[str, str, tuple[str, ...]], tuple[dict[str, State], "LocalSources"]] = {}

#: Folders of the standard library and of installed packages, as they are named and without symbolic links.
_INSTALLED = {
    Path(spelling)
    for place in (
        *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
    for spelling in (place, os.path.realpath(place))
}


@dataclass(frozen=True)
class LocalSources:
    """The source files that identify a component.

    Attributes:
        files: By the name under which each module is imported; the component's own module is among them.
        hashes: SHA-256 of each file, by module.
        packages: Top-level names of the other modules that they import, installed or not.
    """

    files: dict[str, Path]
    hashes: dict[str, str]
    packages: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """A digest of all files, 64 hexadecimal digits."""
        digest = sha256()
        for module, content in sorted(self.hashes.items()):
            digest.update(f"{module}\0{content}\n".encode())
        return digest.hexdigest()

    @property
    def component_digest(self) -> str:
        """What identifies the component: its files, and the installed packages that these import."""
        return component_digest(self.digest, versions_of(self.packages))


def sources_of_file(file: Path) -> LocalSources:
    """Return a Python file and all local modules that it imports, directly or indirectly.

    Installed packages and the standard library are left out.

    Args:
        file: The Python file. Modules that it imports are searched in its folder and then on ``sys.path``. If it is a
            symbolic link, its folder is that of the file to which it leads, as for a program.

    Raises:
        OSError: The file cannot be read.
        SyntaxError: It, or a module that it imports, is not Python.
    """
    file = file.resolve()
    return _sources(file, file.stem, [str(file.parent), *sys.path])


def sources_of_module(name: str, path: Sequence[str] | None = None) -> LocalSources:
    """Return an importable module, the modules of its own package and the local modules that it imports.

    Args:
        name: Dotted name of the module.
        path: Folders in which modules are searched; ``sys.path`` by default.

    Raises:
        ModuleNotFoundError: The module has no Python source.
        SyntaxError: It, or a module that it imports, is not Python.
    """
    path = list(sys.path if path is None else path)
    file = find_module(name, path)
    if file is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _sources(file, name, path)


def find_module(name: str, path: Sequence[str], states: dict[str, State] | None = None) -> Path | None:
    """Return the source file of a module without importing it or its packages; None if there is none.

    Args:
        name: Dotted name of the module.
        path: Folders in which its top-level package is searched.
        states: Receives the states of the folders that are searched, from before the search.
    """
    places: Sequence[str] = path
    file: Path | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        if states is not None:
            _add_states(states, places)
        spec = PathFinder.find_spec(parts[depth - 1], places)  # with a dotted name it would look up imported parents
        if spec is None and depth == 1:
            spec = _spec_of_hooks(name.partition(".")[0])
        if spec is None:
            return None
        file = Path(spec.origin) if spec.origin else None
        locations = spec.submodule_search_locations or ()
        places = list(getattr(locations, "_path", locations))  # a namespace package's own list imports its parent
    return file if file is not None and file.suffix == ".py" else None


def summary_of(module: str, attribute: str) -> str:
    """Return the first line of the docstring of a module's function or class, without importing the module.

    Args:
        module: Dotted name of the module.
        attribute: Name of a function or class that the module defines at its top level.

    Returns:
        The line; empty where it cannot be found in the source.
    """
    file = find_module(module, sys.path)
    try:
        body = ast.parse(file.read_bytes()).body if file else []
    except (OSError, SyntaxError, ValueError):
        return ""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [ast.get_docstring(one) for one in body if isinstance(one, definitions) and one.name == attribute]
    return (found[-1] or "").partition("\n")[0] if found else ""


def _spec_of_hooks(name: str) -> ModuleSpec | None:
    """Return the spec of a top-level module that an import hook finds, such as that of an editable installation."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if finder is not PathFinder and find and (spec := find(name, None)) and spec.origin not in (None, "built-in"):
            return cast(ModuleSpec, spec)
    return None


def _sources(file: Path, name: str, path: Sequence[str]) -> LocalSources:
    """Return a module and the imported modules that belong to its identity."""
    key = (str(file), name, tuple(path))
    kept = _KEPT.get(key)
    if kept and all(state_of(place) == state for place, state in kept[0].items()):
        return kept[1]
    states: dict[str, State] = {}
    files: dict[str, Path] = {}
    hashes: dict[str, str] = {}
    packages: set[str] = set()
    pending = [(name, file)]
    while pending:
        module, one = pending.pop()
        if module in files:
            continue
        _add_states(states, [str(one)])
        source = one.read_bytes()
        files[module], hashes[module] = one, sha256(source).hexdigest()
        for imported in {*_imports(source, one, module), *_packages(module)} - files.keys():
            found = find_module(imported, path, states)
            if found and _is_part(imported, found, name):
                pending.append((imported, found))
            else:
                packages.add(imported.partition(".")[0])
    # A name that is found neither here nor elsewhere is an attribute of a local module.
    local = {module.partition(".")[0] for module in files}
    sources = LocalSources(files, hashes, frozenset(packages - local))
    _KEPT[key] = states, sources
    return sources


def _add_states(states: dict[str, State], places: Iterable[str]) -> None:
    """Add the states of files and folders that have none yet."""
    for place in places:
        if place not in states:
            states[place] = state_of(place)


def state_of(place: str) -> State:
    """Return the state of a file or a folder."""
    try:
        found = Path(place).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_part(imported: str, file: Path, name: str) -> bool:
    """Return whether a module belongs to the identity of the component in module ``name``."""
    own, top = name.partition(".")[0], imported.partition(".")[0]
    if top == "kdtune":
        # For built-in components, modules of the same folder belong to it; for others, kdtune's version identifies it.
        return own == top and imported.rpartition(".")[0] == name.rpartition(".")[0]
    return top == own or not is_installed(file)


def is_installed(file: Path) -> bool:
    """Return whether a file belongs to the standard library or to an installed package."""
    return any(one.is_relative_to(place) for one in (file, file.resolve()) for place in _INSTALLED)


def _packages(module: str) -> Iterator[str]:
    """Yield the packages that contain a module, whose ``__init__`` runs before it."""
    parts = module.split(".")
    yield from (".".join(parts[:depth]) for depth in range(1, len(parts)))


def _imports(source: bytes, file: Path, module: str) -> Iterator[str]:
    """Yield the dotted names of all modules that a source may import, inside functions as well."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source, str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".") if package else []
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            if base:
                yield base
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)
