"""Versions of installed packages, found without importing any of them."""

import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version

#: Packages that do not count as dependencies of a component. The keys of teachers and of compiled code contain the
#: version of torch, for built-in components as well, and results record the versions of both.
_RECORDED_ELSEWHERE = frozenset({"kdtune", "torch"})


def version_of(package: str) -> str:
    """Return an installed package's distribution and version, as ``name==version``."""
    name = (_distributions(package, tuple(sys.path)) or (package,))[0]
    return f"{name}=={version(name)}"


def versions_of(packages: Iterable[str]) -> tuple[str, ...]:
    """Return the versions of the installed packages among some top-level modules, as ``name==version``, sorted.

    Modules of the standard library, packages that are not installed, and torch and kdtune themselves are left out.

    Args:
        packages: Names of top-level modules, such as ``torchvision``.
    """
    wanted = {one for one in packages if one not in _RECORDED_ELSEWHERE and one not in sys.stdlib_module_names}
    names = {name for one in wanted for name in _distributions(one, tuple(sys.path))}
    return tuple(sorted(f"{name}=={version(name)}" for name in names))


@cache
def _distributions(package: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the distributions that provide a top-level module; several share a namespace package.

    Args:
        package: Name of the top-level module.
        path: The present ``sys.path``, on which the answer depends.
    """
    try:  # most have the name of their module, and one is read much faster than all
        found = distribution(package)
    except (PackageNotFoundError, ValueError):
        pass
    else:
        if any(file.parts[0] in (package, f"{package}.py") for file in found.files or ()):
            return (found.name,)
    return tuple(sorted({*_all_distributions(path).get(package, ())}))


@cache
def _all_distributions(path: tuple[str, ...]) -> dict[str, list[str]]:
    return dict(packages_distributions())
