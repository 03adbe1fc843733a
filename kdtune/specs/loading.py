"""Loading and validation of studies. All faults are reported at once, each with file, key and remedy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdtune.catalog.builtin import DATASETS, DEFAULT_TASK, TASKS, objectives_of
from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, SpecError
from kdtune.specs.class_weights import class_weight_faults
from kdtune.specs.component import Component
from kdtune.specs.file_search import SEARCH_SPACES, STUDIES, find, read_toml
from kdtune.specs.named_recipes import RECIPES, with_recipe
from kdtune.specs.overrides import TRAININGS, apply_overrides, naming_flags
from kdtune.specs.schedule_checks import schedule_faults
from kdtune.specs.search_space import SEARCHABLE, SearchSpace
from kdtune.specs.split_sizes import normalisation_problem, split_problems
from kdtune.specs.strategy_labels import check_strategies
from kdtune.specs.study import Study
from kdtune.specs.study_components import (
    COMPONENT_CATALOGS,
    changed_components,
    resolve_components,
    resolve_strategies,
)
from kdtune.specs.synthetic_data import settle_synthesis, synthesis_faults
from kdtune.specs.task_objective import settle_objective
from kdtune.specs.task_options import task_option_faults
from kdtune.specs.temperature_range import temperature_faults
from kdtune.specs.training import MAX_EPOCHS
from kdtune.specs.validation_messages import faults_of

StudyLike = str | Path | Mapping[str, Any] | Study


def load_search_space(source: Any, where: str = "", key: str = "search_space") -> SearchSpace:
    """Return a search space from a name, a path or a table.

    Args:
        source: The search space.
        where: The file or flag that names it, for messages.
        key: The key that names it, for messages.

    Raises:
        SpecError: The search space is unknown or invalid.
    """
    if isinstance(source, SearchSpace):
        return source
    prefix = key
    if isinstance(source, str):
        path = find(SEARCH_SPACES, source, where, key)
        where, prefix, source = str(path), "", read_toml(path)
    if not isinstance(source, Mapping):
        raise SpecError([Fault(where, prefix, "has to be the name of a search space or a table with [tau]")])
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


def loadable_components(source: StudyLike, overrides: Sequence[str] = ()) -> dict[str, Component]:
    """Return the components of a study that can be resolved, by key, even if the study has faults."""
    try:
        where, table, _ = _table_of(source)
    except SpecError:
        return {}
    set_keys, _ = apply_overrides(table, overrides, where)
    faults = resolve_components(table, where, set_keys)
    faulty = {fault.key for fault in faults}
    return {
        key: table[key] for key in COMPONENT_CATALOGS if isinstance(table.get(key), Component) and key not in faulty
    }


def task_name(source: StudyLike, overrides: Sequence[str] = ()) -> str:
    """Return the name of a study's task, the default if it names none that is known, even if the study has faults."""
    try:
        where, table, _ = _table_of(source)
    except SpecError:
        return DEFAULT_TASK
    apply_overrides(table, overrides, where)
    named = table.get("task")
    named = named.get("ref") if isinstance(named, Mapping) else named
    return named if isinstance(named, str) and named in TASKS else DEFAULT_TASK


def _fill_recipes(table: dict[str, Any], where: str) -> list[Fault]:
    """Fill the recipes that a study names into the tables of its trainings, in place."""
    faults = []
    for key in TRAININGS:
        given = table.get(key)
        if not isinstance(given, Mapping) or "recipe" not in given:
            continue
        name = given["recipe"]
        if isinstance(name, str) and name in RECIPES:
            table[key] = with_recipe(dict(given))
        else:
            hint = did_you_mean(str(name), list(RECIPES))
            faults.append(Fault(where, f"{key}.recipe", f"unknown recipe {name!r}; {hint}"))
            table[key] = with_recipe({**given, "recipe": next(iter(RECIPES))})  # to validate the rest
    return faults


def _check_objective(study: Study, where: str) -> list[Fault]:
    names = [metric.name for metric in objectives_of(study.task.name)]
    if study.task.name not in TASKS or study.objective in names:  # a task of others has been asked before
        return []
    hint = did_you_mean(study.objective, names)
    return [Fault(where, "objective", f"{study.objective!r} cannot decide a study; {hint}")]


def _check_split(study: Study, where: str) -> list[Fault]:
    """Check split and class weights against a built-in data set; other data sets are checked once they are found."""
    if study.dataset.name not in DATASETS:
        return []
    problems = split_problems(study.data_info.train_images, study.validation, study.data.train_limit)
    if wrong := normalisation_problem(study.data_info.shape[0], study.data.normalisation):
        problems = {**problems, "data.mean": wrong}
    faults = [Fault(where, key, problem) for key, problem in problems.items()]
    return [*faults, *class_weight_faults(study, where)]


def _table_of(source: StudyLike) -> tuple[str, dict[str, Any], bool]:
    """Return the name of a study's source for messages, its table before validation, and whether it has run."""
    if isinstance(source, Study):
        return f"study {source.name}", source.model_dump(mode="json", exclude_none=True), True
    if isinstance(source, Mapping):
        return "study", {"name": "custom", **source}, False
    path = find(STUDIES, str(source), "", "")
    table = {"name": path.stem, **read_toml(path)}
    # The study.toml of a results folder also holds how the study was run.
    return str(path), table, table.pop("resolved", None) is not None


def place_of(source: StudyLike) -> str:
    """Return the name of a study's source for messages: its file, if it has one."""
    try:
        return _table_of(source)[0]
    except SpecError:
        return str(source)


def strategy_labels(source: StudyLike) -> list[str] | None:
    """Return the labels of a study's strategies, even if it has faults; None if the study cannot be read."""
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
    """Return a validated study from a name, the path of a TOML file, or a table of the same form.

    Args:
        source: What to load.
        overrides: ``KEY=VALUE`` texts, as given to ``--set``. A recipe replaces all values that the study gives for
            that training; the other texts take precedence over the recipe.
        epochs: Epochs of the student; milestones and warm-up change in proportion.
        repeats: Replaces the study's number of repeats.
        seed: Replaces the seed of the first repeat.
        has_run: The study comes from a results folder and is read as it ran. Its components may be missing here (see
            :func:`not_installed`), and its schedules and temperatures may be such as are refused for a new study. A
            study that is already loaded and the ``study.toml`` of a results folder are always read in this way.

    Raises:
        SpecError: The study has faults; lists all that were found.
    """
    study, faults = load_with_faults(
        source, overrides=overrides, epochs=epochs, repeats=repeats, seed=seed, has_run=has_run
    )
    if faults or study is None:
        raise SpecError(faults)
    return study


def load_with_faults(
    source: StudyLike,
    *,
    overrides: Sequence[str] = (),
    epochs: int | None = None,
    repeats: int | None = None,
    seed: int | None = None,
    has_run: bool = False,
) -> tuple[Study | None, list[Fault]]:
    """Return a study and its faults. The arguments are those of :func:`load_study`.

    Returns:
        The study, in which built-in components stand for those that cannot be resolved, and defaults for values that
        are not valid; None if such a value has no default.

    Raises:
        SpecError: The study cannot be read.
    """
    where, table, written_by_run = _table_of(source)
    is_new = not (has_run or written_by_run) or bool(overrides)
    faults: list[Fault] = []
    if epochs is not None and not (type(epochs) is int and 1 <= epochs <= MAX_EPOCHS):
        faults.append(Fault("--epochs", "", f"has to be an integer between 1 and {MAX_EPOCHS}, got {epochs!r}"))
    flags = {key: value for key, value in {"repeats": repeats, "seed": seed}.items() if value is not None}
    table |= flags
    set_keys, wrong = apply_overrides(table, [overrides] if isinstance(overrides, str) else overrides, where)
    faults += wrong
    faults += _fill_recipes(table, where)
    if is_new:
        faults += resolve_components(table, where, set_keys)
        faults += settle_objective(table, where)
        faults += settle_synthesis(table, where)
        faults += resolve_strategies(table, where)
        faults += check_strategies(table.get("strategies"), where)
    faults += _load_named_space(table, where)
    study = None
    try:
        study = Study.model_validate(table)
    except ValidationError as error:
        faults += faults_of(error, Study, where)
        study = _with_defaults(table, error)
    if study:
        faults += _study_faults(study, where, is_new=is_new, has_other_faults=bool(faults))
    if study and epochs is not None and not faults:
        study = study.model_copy(update={"training": study.training.scaled_to(epochs)})
    return study, list(naming_flags(faults, set_keys, flags))


def _with_defaults(table: dict[str, Any], error: ValidationError) -> Study | None:
    """Return a study without the values that are not valid; None if it is not valid without them."""
    rest = dict(table)
    for item in error.errors():
        inner: Any = rest
        for part in item["loc"][:-1]:
            inner[part] = dict(inner[part]) if isinstance(inner.get(part), Mapping) else {}
            inner = inner[part]
        if item["loc"]:
            inner.pop(item["loc"][-1], None)
    try:
        return Study.model_validate(rest)
    except ValidationError:
        return None


def _load_named_space(table: dict[str, Any], where: str) -> list[Fault]:
    """Replace the search space in the table of a study by a validated one, in place; by any if it has faults."""
    if "search_space" not in table:
        return []
    try:
        table["search_space"] = load_search_space(table["search_space"], where)
    except SpecError as error:
        table["search_space"] = SearchSpace.model_validate({"tau": {"low": 1, "high": 1}})
        return list(error.faults)
    return []


def _study_faults(study: Study, where: str, *, is_new: bool, has_other_faults: bool) -> list[Fault]:
    """Return what is wrong with the combination of a study's values.

    Args:
        study: A study whose values are valid by themselves.
        where: The file of the study.
        is_new: Whether the study has not run yet.
        has_other_faults: Whether faults were found before, so that some values may only be substitutes.
    """
    faults = []
    if not has_other_faults and "tau" not in study.search_space:
        faults.append(Fault(where, "search_space", "has no [tau]; kdtune compares strategies that choose tau"))
    if is_new:
        faults += [*_check_objective(study, where), *task_option_faults(study, where)]
        if not has_other_faults and not faults:
            faults += [*_check_split(study, where), *schedule_faults(study, where)]
        faults += [*temperature_faults(study, where), *synthesis_faults(study, where)]
    return faults


def not_installed(study: Study, where: str) -> list[Fault]:
    """Return a fault for each component of a study that is missing here, was edited, or lacks the study's options.

    Args:
        study: A study that was run.
        where: The file that holds it.
    """
    return [*changed_components(study, where), *check_strategies(study.strategies, where, has_run=True)]
