"""Versions of installed packages, found without importing any of them."""

import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, version
from pathlib import Path

#: Packages that do not count as dependencies of a component. The keys of teachers and of compiled code contain the
#: version of torch, for built-in components as well, and results record the versions of both.
_RECORDED_ELSEWHERE = frozenset({"kdtune", "torch"})


def version_of(package: str) -> str:
    """Return an installed package's distribution and version, as ``name==version``."""
    name = (_distributions(package, _state_of_path()) or (package,))[0]
    return f"{name}=={version(name)}"


def versions_of(packages: Iterable[str]) -> tuple[str, ...]:
    """Return the versions of the installed packages among some top-level modules, as ``name==version``, sorted.

    Modules of the standard library, packages that are not installed, and torch and kdtune themselves are left out.

    Args:
        packages: Names of top-level modules, such as ``torchvision``.
    """
    wanted = {one for one in packages if one not in _RECORDED_ELSEWHERE and one not in sys.stdlib_module_names}
    state = _state_of_path()
    names = {name for one in wanted for name in _distributions(one, state)}
    return tuple(sorted(f"{name}=={version(name)}" for name in names))


def _state_of_path() -> tuple[tuple[str, int], ...]:
    """Return the folders on ``sys.path`` with their times, which change when a package is installed."""
    found = []
    for place in sys.path:
        with suppress(OSError):
            found.append((place, Path(place).stat().st_mtime_ns))
    return tuple(found)


@cache
def _distributions(package: str, state: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Return the distributions that provide a top-level module; several share a namespace package.

    Args:
        package: Name of the top-level module.
        state: See :func:`_state_of_path`; the answer depends on it.
    """
    try:  # most have the name of their module, and one is read much faster than all
        found = distribution(package)
    except (PackageNotFoundError, ValueError):
        pass
    else:
        if any(file.parts[0] in (package, f"{package}.py") for file in found.files or ()):
            return (found.name,)
    return tuple(sorted({one.name for one in distributions() if _provides(one, package)}))


def _provides(one: Distribution, package: str) -> bool:
    """Return whether a distribution has a top-level module, like ``importlib.metadata.packages_distributions``.

    That function parses the list of files of each distribution, which takes half a second; here they are searched.
    """
    if declared := one.read_text("top_level.txt"):
        return package in declared.split()
    if record := one.read_text("RECORD"):
        modules = rf'^"?{re.escape(package)}(/[^,\n]*|\.[\w-]+)?\.(py|so|pyd)[",]'
        return re.search(modules, record, re.MULTILINE) is not None
    files = [file for file in one.files or () if file.suffix in (".py", ".so", ".pyd")]
    return any(package == (file.parts[0] if len(file.parts) > 1 else file.name.split(".")[0]) for file in files)
