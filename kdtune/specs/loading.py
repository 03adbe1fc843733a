"""From TOML to validated specs: every fault at once, each with its file, its key and a remedy."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdtune.catalog.builtin import DATASETS, LOSSES, MODELS
from kdtune.catalog.references import with_absolute_path
from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, SpecError
from kdtune.specs.component import Component, component_of
from kdtune.specs.file_search import SEARCH_SPACES, STUDIES, find
from kdtune.specs.named_recipes import RECIPES, with_recipe
from kdtune.specs.schedule_checks import schedule_faults
from kdtune.specs.search_space import SEARCHABLE, SearchSpace
from kdtune.specs.strategy_labels import check_strategies
from kdtune.specs.study import MAX_EPOCHS, Study
from kdtune.specs.temperature_range import temperature_faults
from kdtune.specs.validation_messages import faults_of
from kdtune.storage.files import read_whole
from kdtune.storage.parsing import parse_toml
from kdtune.storage.paths import here

#: The tables of a study that may name a recipe.
_TRAININGS = ("training", "teacher_training")

#: Keys that may no longer fit where another one is set.
_UNFIT_AFTER = {
    "training.epochs": ("training.milestones", "training.warmup_epochs"),
    "teacher_training.epochs": ("teacher_training.milestones", "teacher_training.warmup_epochs"),
    "data.train_limit": ("validation",),
}

StudyLike = str | Path | Mapping[str, Any] | Study


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        SpecError: The file cannot be read or is not TOML; the message has the line and column.
    """
    try:
        return parse_toml(read_whole(path))
    except OSError as error:
        raise SpecError([Fault(str(path), "", f"cannot be read: {error}")]) from None
    except ValueError as error:
        raise SpecError([Fault(str(path), "", f"not valid TOML: {error}")]) from None


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Split ``training.epochs=20`` into its key and its value, read as TOML where it is TOML.

    Raises:
        SpecError: There is no ``=`` or no key.
    """
    key, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(parts):
        raise SpecError([Fault("--set", text, "has to read KEY=VALUE, such as --set training.batch_size=64")])
    try:
        return parts, parse_toml(f"value = {value}".encode())["value"]
    except ValueError:
        return parts, value.strip()  # a bare word, such as loss=dml


def _override(table: dict[str, Any], key: tuple[str, ...], value: Any, where: str) -> None:
    """Put one value into a study's table, in place; nothing is changed where that is not possible."""
    if key[0] == "search_space" and len(key) > 1 and isinstance(table.get("search_space"), str):
        path = find(SEARCH_SPACES, table["search_space"], where, "search_space")
        table["search_space"] = read_toml(path)
    inside = table
    for depth, part in enumerate(key[:-1]):
        child = inside.get(part, {})
        if not isinstance(child, Mapping):
            parent = ".".join(key[: depth + 1])
            raise SpecError([Fault("--set", ".".join(key), f"{parent} is a value, not a table")])
        inside[part] = dict(child)
        inside = inside[part]
    inside[key[-1]] = value


def _apply(table: dict[str, Any], overrides: Sequence[str], where: str) -> tuple[set[str], list[Fault]]:
    """Put what ``--set`` says into a study's table, in place; the dotted keys that were put there, and the faults."""
    faults: list[Fault] = []
    changes = []
    for text in overrides:
        try:
            changes.append(parse_override(text))
        except SpecError as error:
            faults += error.faults
    for name in _TRAININGS:
        if any(key == (name, "recipe") for key, _ in changes):
            table[name] = {}  # a recipe that the study's own values went before would change nothing
    set_keys = set()
    for key, value in changes:
        try:
            _override(table, key, value, where)
            set_keys.add(".".join(key))
        except SpecError as error:
            faults += error.faults
    return set_keys, faults


def load_search_space(source: Any, where: str = "", key: str = "search_space") -> SearchSpace:
    """A search space from a name, a path or a table.

    Raises:
        SpecError: It is unknown or wrong.
    """
    if isinstance(source, SearchSpace):
        return source
    prefix = key
    if isinstance(source, str):
        path = find(SEARCH_SPACES, source, where, key)
        where, prefix, source = str(path), "", read_toml(path)
    if not isinstance(source, Mapping):
        raise SpecError([Fault(where, prefix, "has to be the name of a search space, or a table with [tau]")])
    faults = [
        Fault(where, f"{prefix}.{name}".lstrip("."), f"cannot be searched; {did_you_mean(name, list(SEARCHABLE))}")
        for name in source
        if name not in SEARCHABLE
    ]
    try:
        space = SearchSpace.model_validate(dict(source))
    except ValidationError as error:
        faults += faults_of(error, SearchSpace, where, prefix)
    if faults:
        raise SpecError(faults)
    return space


#: The keys of a study whose values are components.
_COMPONENTS = {"dataset": DATASETS, "teacher": MODELS, "student": MODELS, "loss": LOSSES}


def _find_components(table: dict[str, Any], where: str, base: Path, set_keys: Collection[str]) -> list[Fault]:
    """Put the components that a study names into its table, in place, with absolute paths and digests.

    Args:
        table: The study.
        where: The file that has it.
        base: Folder to which the study's relative paths refer.
        set_keys: Keys that ``--set`` gave; their relative paths refer to the working folder.
    """
    faults = []
    for key, catalog in _COMPONENTS.items():
        try:
            component = component_of(table.get(key))
            if isinstance(component, Component):
                found = catalog.resolve(component.name, here() if key in set_keys else base)
                table[key] = component.model_copy(update={"name": found.reference, "digest": found.digest})
        except ValueError as error:
            faults.append(Fault(where, key, str(error)))
            table[key] = Component(name=next(iter(catalog)))  # reported already
    return faults


def _find_files(strategies: Any, base: Path) -> None:
    """Make the paths of Python files that strategies and their options name absolute, in place."""
    if not isinstance(strategies, dict):
        return
    for label, options in strategies.items():
        if isinstance(options, Mapping):
            strategies[label] = {key: with_absolute_path(value, base) for key, value in options.items()}


def _check_components(study: Study, where: str) -> list[Fault]:
    """Return the components of a study as it ran that are not found here, or were edited since."""
    faults = []
    for key, catalog in _COMPONENTS.items():
        component: Component = getattr(study, key)
        try:
            if catalog.resolve(component.name).digest != component.digest:
                remedy = "restore the earlier source, or begin the study anew with --fresh"
                faults.append(Fault(where, key, f"{component} has been edited since the study began; {remedy}"))
        except ValueError as error:
            faults.append(Fault(where, key, str(error)))
    return faults


def _fill_recipes(table: dict[str, Any], where: str) -> list[Fault]:
    """Fill in the recipes that a study's trainings name, in place."""
    faults = []
    for key in _TRAININGS:
        given = table.get(key)
        if not isinstance(given, Mapping) or "recipe" not in given:
            continue
        name = given["recipe"]
        if isinstance(name, str) and name in RECIPES:
            table[key] = with_recipe(dict(given))
        else:
            hint = did_you_mean(str(name), list(RECIPES))
            faults.append(Fault(where, f"{key}.recipe", f"unknown recipe {name!r}; {hint}"))
            table[key] = with_recipe({**given, "recipe": next(iter(RECIPES))})  # judged already
    return faults


def _check_split(study: Study, where: str) -> list[Fault]:
    """Hold the split against the published data set; a subset that somebody made is looked at when it is found."""
    from kdtune.data.split_sizes import normalisation_problem, split_problems

    if study.dataset.name not in DATASETS:
        return []
    problems = split_problems(study.data_info.train_images, study.validation, study.data.train_limit)
    if wrong := normalisation_problem(study.data_info.shape[0], study.data.normalisation):
        problems = {**problems, "data.mean": wrong}
    return [Fault(where, key, problem) for key, problem in problems.items()]


def _table_of(source: StudyLike) -> tuple[str, dict[str, Any], bool]:
    """How to call the place of a study, what it says there before it is validated, and whether it has run already."""
    if isinstance(source, Study):
        return f"study {source.name}", source.model_dump(mode="json", exclude_none=True), True
    if isinstance(source, Mapping):
        return "study", {"name": "custom", **source}, False
    path = find(STUDIES, str(source), "", "")
    table = {"name": path.stem, **read_toml(path)}
    # A frozen study tells beside its question how it was run.
    return str(path), table, table.pop("resolved", None) is not None


def strategy_labels(source: StudyLike) -> list[str] | None:
    """What a study calls its strategies, though it may have faults; None where it cannot be read."""
    try:
        table = _table_of(source)[1].get("strategies")
    except SpecError:
        return None
    return list(table) if isinstance(table, Mapping) else []


def load_study(
    source: StudyLike,
    *,
    overrides: Sequence[str] = (),
    epochs: int | None = None,
    repeats: int | None = None,
    seed: int | None = None,
    has_run: bool = False,
) -> Study:
    """A validated study from a name, a path to a TOML file, or a table of the same form.

    Args:
        source: What to load.
        overrides: ``KEY=VALUE`` texts, as given to ``--set``. A recipe takes the place of all that the study says of
            that training; the other texts go before it.
        epochs: Epochs of the student, the milestones and the warm-up moving in proportion.
        repeats: Replaces the study's number of repeats.
        seed: Replaces the seed of the first repeat.
        has_run: It is what a results folder keeps, and is taken as it ran, though its components may not be installed
            here (see :func:`not_installed`), and schedules or temperatures such as its own may be refused by now. So
            is a loaded study, and a results folder's ``study.toml``.

    Raises:
        SpecError: Every fault that was found.
    """
    where, table, written_by_run = _table_of(source)
    as_it_ran = (has_run or written_by_run) and not overrides
    faults: list[Fault] = []
    if epochs is not None and not 1 <= epochs <= MAX_EPOCHS:
        faults.append(Fault("--epochs", "", f"has to lie in [1, {MAX_EPOCHS}], got {epochs}"))
    flags = {key: value for key, value in {"repeats": repeats, "seed": seed}.items() if value is not None}
    table |= flags
    set_keys, wrong = _apply(table, [overrides] if isinstance(overrides, str) else overrides, where)
    faults += wrong

    faults += _fill_recipes(table, where)
    if not as_it_ran:
        base = Path(where).parent if Path(where).is_file() else here()
        faults += _find_components(table, where, base, set_keys)
        _find_files(table.get("strategies"), base)
        faults += check_strategies(table.get("strategies"), where)
    if "search_space" in table:
        try:
            table["search_space"] = load_search_space(table["search_space"], where)
        except SpecError as error:
            faults += error.faults
            table["search_space"] = SearchSpace.model_validate({"tau": {"low": 1, "high": 1}})  # judged already
    study = None
    try:
        study = Study.model_validate(table)
    except ValidationError as error:
        faults += faults_of(error, Study, where)
    if study and not faults and "tau" not in study.search_space:
        faults.append(Fault(where, "search_space", "has no [tau], which is what kdtune compares the search for"))
    if study and not as_it_ran:
        if not faults:
            faults += [*_check_split(study, where), *schedule_faults(study, where)]
        faults += temperature_faults(study, where)
    if faults or study is None:
        set_keys |= {other for key in set_keys for other in _UNFIT_AFTER.get(key, ())}
        raise SpecError([_blame(fault, set_keys, flags) for fault in faults])
    if epochs is not None:
        study = study.model_copy(update={"training": study.training.scaled_to(epochs)})
    return study


def not_installed(study: Study, where: str) -> list[Fault]:
    """The components of a study as it ran that are not installed here, or do not have its options.

    Args:
        study: As a results folder keeps it.
        where: The file that has it.
    """
    return [*_check_components(study, where), *check_strategies(study.strategies, where, has_run=True)]


def _blame(fault: Fault, set_keys: set[str], flags: Mapping[str, Any]) -> Fault:
    """Name the flag rather than the file where that is what brought the faulty value."""
    if any(fault.key == key or fault.key.startswith(key + ".") for key in set_keys):
        return Fault("--set", fault.key, fault.problem)
    if within := sorted(key for key in set_keys if fault.key and key.startswith(fault.key + ".")):
        return Fault(f"{fault.where} with --set {', '.join(within)}", fault.key, fault.problem)
    if fault.key in flags:
        return Fault(f"--{fault.key}", "", fault.problem)
    return fault
