"""Lists of studies, search spaces, strategies and so on, as plain records."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from kdtune.catalog.catalog import Catalog
from kdtune.catalog.source_digest import summary_of

Record = dict[str, Any]


def _components(catalog: Catalog) -> list[Record]:
    """Return the built-in components and those of other packages, of which nothing is imported."""
    known = [{"name": name, "summary": catalog[name].summary, **catalog[name].facts} for name in catalog]
    unknown = dict.fromkeys(key for record in known for key in record)
    built_in = [{**unknown, **record} for record in known]
    others = catalog.entry_points().items()
    return built_in + [{**unknown, "name": name, "summary": _summary(point)} for name, point in others]


def _summary(point: EntryPoint) -> str:
    package = f"from package {point.dist.name}" if point.dist else f"from {point.module}"
    described = summary_of(point.module, point.attr)
    return f"{package}: {described}" if described else package


def studies(place: Path) -> list[Record]:
    """Return every study that can be run by its name. A user's study replaces a shipped one of the same name."""
    from kdtune.errors import SpecError
    from kdtune.specs.file_search import STUDIES, available, read_toml
    from kdtune.specs.loading import strategy_labels

    records = []
    for name, path in available(STUDIES).items():
        try:
            table = read_toml(path)
        except SpecError as error:  # a broken file must not hide the others
            table = {"description": str(error)}
        keys = ("description", "dataset", "teacher", "student", "loss", "repeats")
        labels = strategy_labels(str(path)) or []
        records.append({"name": name, **{key: table.get(key) for key in keys}, "strategies": labels, "file": str(path)})
    return records


def spaces(place: Path) -> list[Record]:
    """Return every search space that can be used by its name."""
    from kdtune.specs.file_search import SEARCH_SPACES, available
    from kdtune.specs.loading import load_search_space

    records = []
    for name, path in available(SEARCH_SPACES).items():
        space = load_search_space(str(path))
        points = len(space.points()) if space.is_finite else None
        described = "; ".join(f"{dim} {space[dim].bounds[0]:g} to {space[dim].bounds[1]:g}" for dim in space)
        records.append({"name": name, "summary": described, "points": points, "file": str(path)})
    return records


def runs(place: Path) -> list[Record]:
    """Return the runs in a results folder, with their status, finished repeats, and energy so far."""
    from kdtune.analysis.find_results import find_results
    from kdtune.results.carbon_settings import carbon_of
    from kdtune.results.outcome import build_result
    from kdtune.storage.paths import expanded

    place = expanded(place, "--out")
    if not place.is_dir() or not any(place.glob("*/run.toml")):
        return []
    records = []
    for folder in find_results(place):
        result = build_result(folder, carbon_of(folder))
        done = sum(repeat.test is not None for repeat in result.repeats)
        records.append(
            {
                "name": f"{result.study}/{result.strategy}",
                "status": result.status,
                "repeats_done": done,
                "repeats": len(result.repeats),
                "charged_kwh": result.cost.charged_kwh,
                "folder": str(folder.path),
            }
        )
    return records


def caches(place: Path) -> list[Record]:
    """Return the items of the cache, the largest first."""
    from kdtune.artifacts.caches import cached

    return [
        {
            "name": one.path.name,
            "kind": one.kind,
            "bytes": one.bytes,
            "age_days": round(one.age_days, 2),
            "folder": str(one.path),
        }
        for one in cached()
    ]


def _strategies(place: Path) -> list[Record]:
    from kdtune.catalog.builtin import STRATEGIES

    return _components(STRATEGIES)


def _temperatures(place: Path) -> list[Record]:
    """Return the temperatures, and the losses that are methods of their own."""
    from kdtune.catalog.builtin import LOSSES, TEMPERATURES, is_method

    methods = [record for record in _components(LOSSES) if is_method(record["name"])]
    keys = ("name", "summary", "hidden_tuning")
    # Where a method has the name of a temperature that is a part of it, its hidden tuning is that of both.
    found = {
        one["name"]: {**{key: one[key] for key in keys}, "kind": "temperature"} for one in _components(TEMPERATURES)
    }
    for one in methods:
        kind = "temperature and loss" if one["name"] in found else "loss"
        found[one["name"]] = {**{key: one[key] for key in keys}, "kind": kind}
    return list(found.values())


def _datasets(place: Path) -> list[Record]:
    from kdtune.catalog.builtin import DATASETS

    return _components(DATASETS)


def _models(place: Path) -> list[Record]:
    from kdtune.catalog.builtin import MODELS

    return _components(MODELS)


def _losses(place: Path) -> list[Record]:
    from kdtune.catalog.builtin import LOSSES

    return _components(LOSSES)


def _syntheses(place: Path) -> list[Record]:
    from kdtune.catalog.builtin_syntheses import SYNTHESES

    return _components(SYNTHESES)


#: Functions by the name of their list; each takes the results folder and returns records with a ``name``.
LISTS: dict[str, Callable[[Path], list[Record]]] = {
    "studies": studies,
    "spaces": spaces,
    "strategies": _strategies,
    "temperatures": _temperatures,
    "datasets": _datasets,
    "models": _models,
    "losses": _losses,
    "syntheses": _syntheses,
    "runs": runs,
    "caches": caches,
}
