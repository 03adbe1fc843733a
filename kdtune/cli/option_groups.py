"""Groups of options: dataclasses whose fields are options, so that a command takes a group as one parameter."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose signature, which typer reads, has the fields of its groups as parameters.

    Args:
        command: The command. Each of its parameters with a dataclass as annotation is a group; the fields of the
            dataclass are annotated like parameters of a command, and all have defaults.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _options(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    def grouped(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    ordered = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    grouped.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    grouped.__annotations__ = {one.name: one.annotation for one in ordered}
    grouped.__doc__, grouped.__name__ = command.__doc__, command.__name__
    return grouped


def _options(group: Any) -> list[inspect.Parameter]:
    """Return the fields of a group as parameters of a command."""
    hints = get_type_hints(group, include_extras=True)
    kind, found = inspect.Parameter.KEYWORD_ONLY, []
    for field in fields(group):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        found.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))
    return found
