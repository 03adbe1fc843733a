"""Digests of a Python module together with the local modules that it imports, computed without running any of them."""

import ast
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path

_INSTALLED = tuple(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


def digest_of_file(file: Path) -> str:
    """Return a digest of a Python file and all local modules that it imports, directly or indirectly.

    Installed packages and the standard library are left out, because their versions identify them.

    Args:
        file: The Python file. Modules that it imports are searched in its folder and then on ``sys.path``.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
        SyntaxError: It, or a module that it imports, is not Python.
    """
    return _digest(file, file.stem, [str(file.parent), *sys.path])


def digest_of_module(name: str, path: Sequence[str] | None = None) -> str:
    """Return a digest of an importable module, and of the modules of its own package and local modules that it imports.

    Args:
        name: Dotted name of the module.
        path: Folders in which modules are searched; ``sys.path`` by default.

    Returns:
        64 hexadecimal digits.

    Raises:
        ModuleNotFoundError: The module has no Python source.
        SyntaxError: It, or a module that it imports, is not Python.
    """
    path = list(sys.path if path is None else path)
    file = find_module(name, path)
    if file is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _digest(file, name, path)


def find_module(name: str, path: Sequence[str]) -> Path | None:
    """Return the source file of a module without importing it or its packages; None if there is none."""
    places: Sequence[str] = path
    file: Path | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), places)
        if spec is None:
            return None
        file = Path(spec.origin) if spec.origin else None
        places = list(spec.submodule_search_locations or ())
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


def _digest(file: Path, name: str, path: Sequence[str]) -> str:
    """Return the digest of a module and of the imported modules that belong to its identity."""
    sources: dict[str, bytes] = {}
    pending = [(name, file)]
    while pending:
        module, one = pending.pop()
        if module in sources:
            continue
        sources[module] = one.read_bytes()
        for imported in {*_imports(sources[module], one, module), *_packages(module)}:
            found = find_module(imported, path) if imported not in sources else None
            if found and _is_part(imported, found, name):
                pending.append((imported, found))
    digest = sha256()
    for module, source in sorted(sources.items()):
        digest.update(f"{module}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()


def _is_part(imported: str, file: Path, name: str) -> bool:
    """Return whether a module belongs to the identity of the component in module ``name``."""
    own, top = name.partition(".")[0], imported.partition(".")[0]
    if top == "kdtune":
        # For built-in components, modules of the same folder belong to it; for others, kdtune's version identifies it.
        return own == top and imported.rpartition(".")[0] == name.rpartition(".")[0]
    return top == own or not any(file.is_relative_to(place) for place in _INSTALLED)


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
