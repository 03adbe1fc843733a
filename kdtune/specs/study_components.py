"""Resolution of the components that a study names: task, data set, teacher, student and loss."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from kdtune.catalog.builtin import DATASETS, DEFAULT_TASK, LOSSES, MODELS, TASKS, models_of
from kdtune.catalog.builtin_syntheses import SYNTHESES
from kdtune.catalog.component_digest import change_since
from kdtune.catalog.python_objects import reference_to
from kdtune.catalog.references import moved_along, with_absolute_path
from kdtune.errors import Fault, SpecError
from kdtune.specs.component import Component, component_of
from kdtune.specs.json_values import json_value
from kdtune.specs.study import Study
from kdtune.storage.paths import here

#: The keys of a study whose values are components, and the catalog of each.
COMPONENT_CATALOGS = {
    "task": TASKS,
    "dataset": DATASETS,
    "teacher": MODELS,
    "student": MODELS,
    "loss": LOSSES,
    "synthesis": SYNTHESES,
}

#: A network of the user's own, with an option.
_NETWORK = '{ ref = "./file.py:NAME", width = 2 }'

#: A table for each of these keys, for the message about one without ``ref``.
_EXAMPLES = {
    "task": '{ ref = "detection", hint_weight = 1.0 }',
    "dataset": '{ ref = "./file.py:NAME", size = 32 }',
    "teacher": _NETWORK,
    "student": _NETWORK,
    "loss": '{ ref = "./file.py:NAME", beta = 2.0 }',
    "synthesis": f'{{ ref = "deep-inversion", images = 2304 }}; known methods: {", ".join(SYNTHESES)}',
}


def find_components(references: Mapping[str, str]) -> dict[str, str]:
    """Return references with absolute paths, by key of the study. Relative paths refer to the working folder.

    Raises:
        SpecError: Some references cannot be resolved; lists all of them.
    """
    found, faults = {}, []
    for key, text in references.items():
        try:
            found[key] = COMPONENT_CATALOGS[key].resolve(text).reference
        except ValueError as error:
            faults.append(Fault(f"--{key}", "", str(error)))
    if faults:
        raise SpecError(faults)
    return found


def resolve_components(table: dict[str, Any], where: str, set_keys: Collection[str]) -> list[Fault]:
    """Replace the references in the table of a study by components with absolute paths and digests, in place.

    Args:
        table: The study, not validated yet. A reference that cannot be resolved is replaced by a built-in component,
            so that the rest of the study can be validated.
        where: The file of the study, to whose folder its relative paths refer.
        set_keys: Keys that ``--set`` gave; their relative paths refer to the working folder.
    """
    faults = []
    for key, catalog in COMPONENT_CATALOGS.items():
        try:
            component = component_of(table.get(key), example=_EXAMPLES[key])
            if isinstance(component, Component):
                found = catalog.resolve(
                    component.name, here() if {key, f"{key}.ref"} & {*set_keys} else _folder_of(where)
                )
                table[key] = component.model_copy(update={"name": found.reference, "digest": found.digest})
        except ValueError as error:
            faults.append(Fault(where, key, str(error)))
            table[key] = Component(name=next(iter(catalog)))
    return faults or _networks_of_other_tasks(table, where)


def _networks_of_other_tasks(table: Mapping[str, Any], where: str) -> list[Fault]:
    """Return a fault for each built-in network that is for another built-in task than the study's."""
    task, faults = component_of(table.get("task", DEFAULT_TASK)), []
    for key in ("teacher", "student"):
        network = component_of(table.get(key))
        if isinstance(network, Component) and isinstance(task, Component) and task.name in TASKS:
            own = MODELS.facts_of(network.name).get("task", DEFAULT_TASK)
            if network.name in MODELS and own != task.name:
                known = ", ".join(models_of(task.name))
                problem = f'{network.name} is for {own} (task = "{own}"); networks for {task.name}: {known}'
                faults.append(Fault(where, key, problem))
    return faults


def resolve_strategies(table: dict[str, Any], where: str) -> list[Fault]:
    """Make the options of strategies JSON values in the table of a study, in place.

    Functions and classes become references, and the paths of Python files become absolute.

    Args:
        table: The study, not validated yet. An option that cannot be converted is left out.
        where: The file of the study, to whose folder relative paths refer.
    """
    strategies = table.get("strategies")
    if not isinstance(strategies, Mapping):
        return []
    base, faults = _folder_of(where), []
    table["strategies"] = dict(strategies)
    for label, options in strategies.items():
        if not isinstance(options, Mapping):
            continue
        table["strategies"][label] = found = {}
        for key, value in options.items():
            try:
                plain = reference_to(value) if callable(value) else json_value(value, may_be_none=False)
                found[key] = with_absolute_path(plain, base)
            except ValueError as error:
                faults.append(Fault(where, f"strategies.{label}.{key}", str(error)))
    return faults


def moved_study(study: Study, before: Path, now: Path) -> Study:
    """Return a study whose files were moved together with its results folder, with their present paths.

    Args:
        study: A study that was run.
        before: Results folder in which it was run.
        now: The same folder now.
    """
    components = {key: one for key in COMPONENT_CATALOGS if (one := getattr(study, key))}
    changes: dict[str, Any] = {
        key: one.model_copy(update={"name": moved_along(one.name, before, now)}) for key, one in components.items()
    }
    changes["strategies"] = {
        label: {key: moved_along(value, before, now) for key, value in options.items()}
        for label, options in study.strategies.items()
    }
    return study if before == now else study.model_copy(update=changes)


def changed_components(study: Study, where: str) -> list[Fault]:
    """Return a fault for each component of a study that is missing here or has changed since the study began.

    Args:
        study: A study that was run.
        where: The file that holds it.
    """
    faults = []
    for key, catalog in COMPONENT_CATALOGS.items():
        component: Component | None = getattr(study, key)
        if component is None:
            continue
        try:
            if change := change_since(component.digest, catalog.resolve(component.name).digest):
                faults.append(Fault(where, key, f"{component} {change}"))
        except ValueError as error:
            faults.append(Fault(where, key, str(error)))
    return faults


def _folder_of(where: str) -> Path:
    """Return the folder of a study's file; the working folder if the study comes from no file."""
    return Path(where).parent if Path(where).is_file() else here()
