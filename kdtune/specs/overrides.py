"""Values that ``--set KEY=VALUE`` puts into a study before it is validated."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdtune.errors import Fault, SpecError
from kdtune.specs.file_search import SEARCH_SPACES, find, read_toml
from kdtune.storage.parsing import parse_toml

#: The tables of a study that may name a recipe.
TRAININGS = ("training", "teacher_training")

#: Keys whose value names a component; a table has the name as ``ref`` and the component's options.
COMPONENTS = ("task", "dataset", "teacher", "student", "loss")

#: Keys that may become invalid when another key is overridden.
_DEPENDENT_KEYS = {
    "training.epochs": ("training.milestones", "training.warmup_epochs"),
    "teacher_training.epochs": ("teacher_training.milestones", "teacher_training.warmup_epochs"),
    "data.train_limit": ("validation",),
}


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Split ``training.epochs=20`` into its key and its value. A value that is not TOML is used as a string.

    Raises:
        SpecError: There is no ``=`` or no key.
    """
    key, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(parts):
        raise SpecError([Fault("--set", text, "has to have the form KEY=VALUE, such as --set training.batch_size=64")])
    try:
        return parts, parse_toml(f"value = {value}".encode())["value"]
    except ValueError:
        return parts, value.strip()  # a bare word, such as loss=dml


def apply_overrides(table: dict[str, Any], overrides: Sequence[str], where: str) -> tuple[set[str], list[Fault]]:
    """Put overrides into the table of a study, in place.

    An overridden recipe first removes all values that the study gives for that training. They would otherwise take
    precedence over the recipe, which would then have no effect.

    Args:
        table: The study, not validated yet.
        overrides: ``KEY=VALUE`` texts.
        where: The file of the study.

    Returns:
        The dotted keys that were set, and the faults.
    """
    faults: list[Fault] = []
    changes = []
    for text in overrides:
        try:
            changes.append(parse_override(text))
        except SpecError as error:
            faults += error.faults
    for name in TRAININGS:
        if any(key == (name, "recipe") for key, _ in changes):
            table[name] = {}
    set_keys = set()
    for key, value in changes:
        try:
            _set(table, key, value, where)
            set_keys.add(".".join(key))
        except SpecError as error:
            faults += error.faults
    return set_keys, faults


def _set(table: dict[str, Any], key: tuple[str, ...], value: Any, where: str) -> None:
    """Put one value into the table of a study, in place; leave the study unchanged if that is not possible."""
    if key[0] == "search_space" and len(key) > 1 and isinstance(table.get("search_space"), str):
        path = find(SEARCH_SPACES, table["search_space"], where, "search_space")
        table["search_space"] = read_toml(path)
    inside = table
    for depth, part in enumerate(key[:-1]):
        child = inside.get(part, {})
        if depth == 0 and part in COMPONENTS and isinstance(child, str):
            child = {"ref": child}  # the value is an option of the component
        if not isinstance(child, Mapping):
            parent = ".".join(key[: depth + 1])
            raise SpecError([Fault("--set", ".".join(key), f"{parent} is {child!r} and not a table")])
        inside[part] = dict(child)
        inside = inside[part]
    inside[key[-1]] = value


def naming_flags(faults: Sequence[Fault], set_keys: set[str], flags: Mapping[str, Any]) -> list[Fault]:
    """Return faults that name the flag instead of the file if the value, or what it depends on, came from a flag.

    Args:
        faults: Faults of the study.
        set_keys: Dotted keys that ``--set`` gave.
        flags: Values that other flags gave, by key of the study, which is also the name of the flag.
    """
    dependent = {other for key in set_keys for other in _DEPENDENT_KEYS.get(key, ())}
    return [_naming_flag(fault, set_keys | dependent, flags) for fault in faults]


def _naming_flag(fault: Fault, set_keys: set[str], flags: Mapping[str, Any]) -> Fault:
    if any(fault.key == key or fault.key.startswith(key + ".") for key in set_keys):
        return Fault("--set", fault.key, fault.problem)
    if within := sorted(key for key in set_keys if fault.key and key.startswith(fault.key + ".")):
        return Fault(f"{fault.where} with --set {', '.join(within)}", fault.key, fault.problem)
    if fault.key in flags:
        return Fault(f"--{fault.key}", "", fault.problem)
    return fault
