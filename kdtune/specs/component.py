"""Components that a study names, by name or reference."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from kdtune.catalog.component_digest import is_component_digest
from kdtune.catalog.python_objects import reference_to
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.identity import is_identity
from kdtune.specs.json_values import json_value

#: Keys of a component's table that are not options of the component.
_REFERENCE, _DIGEST = "ref", "digest"


class Component(FrozenModel):
    """A component by name or reference, with its options.

    Attributes:
        name: A name in its catalog, or a reference; see :class:`kdtune.catalog.catalog.Catalog`.
        options: Options of the component, which validates them itself; JSON values only.
        digest: Identifies the source of a component that is not built in, once it is resolved, see
            :mod:`kdtune.catalog.component_digest`; otherwise empty.
    """

    name: str
    options: dict[str, Any] = {}
    digest: str = ""

    @field_validator("options", mode="before")
    @classmethod
    def _json_options(cls, options: Any) -> Any:
        return _options_of(options) if isinstance(options, Mapping) else options

    @model_serializer(mode="wrap")
    def _as_table(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if not self.digest:
            table.pop("digest", None)
        if is_identity(info):
            table["name"] = self.name_without_folder
        return table

    @property
    def name_without_folder(self) -> str:
        """The name as part of an identity, which does not depend on the place of a file or folder.

        The digest identifies the content of a file. A folder of images is identified by their fingerprint alone.
        """
        scheme, _, path = self.name.partition(":")
        if path.startswith("/"):
            return f"{scheme}:{Path(path).name}" if scheme == "pickle" else scheme
        place, _, attribute = self.name.rpartition(":")
        return f"{Path(place).name}:{attribute}" if place.endswith(".py") else self.name

    @property
    def short_name(self) -> str:
        """The name for display, without the parent folders of files and without options."""
        scheme, colon, path = self.name.partition(":")
        if colon and "/" in path:  # a scheme of paths
            return f"{scheme}:{Path(path).name}" if scheme != "pickle" else Path(path).stem.rpartition("-")[0]
        return self.name.rpartition("/")[2]

    @property
    def slug(self) -> str:
        """The name in names of files and folders, with only letters, digits, ``-`` and ``_``.

        Like an identity, it does not depend on where the component lies: names of folders in the cache contain it.
        """
        name = self.short_name if self.name.startswith("pickle:") else self.name_without_folder
        return re.sub(r"[^A-Za-z0-9_-]+", "-", name.replace(".py:", "-")).strip("-")

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.short_name}({options})" if options else self.short_name


def component_of(value: Any, *, example: str = '{ ref = "./file.py:NAME", width = 2 }') -> Any:
    """Return the component that a value of a study refers to; other values are returned and fail validation.

    Args:
        value: A name or reference; a table with the key ``ref``, the other keys being options; a function or class; or
            a component.
        example: A table that suits the key, for the message about a table without ``ref``.
    """
    if isinstance(value, Component):
        return value
    if isinstance(value, str):
        return Component(name=value)
    if callable(value):
        return Component(name=reference_to(value))
    if isinstance(value, Mapping):
        if _REFERENCE not in value:
            raise ValueError(f"has no ref; write a name, or a table such as {example}")
        made = component_of(value[_REFERENCE])
        if not isinstance(made, Component):
            raise ValueError("ref has to be a name or a reference")
        digest = value.get(_DIGEST, "")
        if digest != "" and not is_component_digest(digest):
            raise ValueError(_taken(_DIGEST))
        given = {key: one for key, one in value.items() if key not in (_REFERENCE, _DIGEST)}
        options = _options_of(given, may_be_none=False)
        return made.model_copy(update={"options": options, "digest": digest})
    if value is None:
        return value
    raise ValueError(f"has to be a name, a reference or a table with ref, got {value!r}")


def _options_of(given: Mapping[str, Any], *, may_be_none: bool = True) -> dict[str, Any]:
    """Return the options of a component as JSON values.

    Raises:
        ValueError: An option is no JSON value, or has a name that the table of a component uses otherwise.
    """
    options = {}
    for key, value in given.items():
        if key in (_REFERENCE, _DIGEST):
            raise ValueError(_taken(key))
        try:
            options[key] = json_value(value, may_be_none=may_be_none)
        except ValueError as error:
            raise ValueError(f"option {key!r} {error}") from None
    return options


def _taken(key: str) -> str:
    return f"option {key!r} has a name that kdtune uses itself; rename the option in the component"


def as_written(component: Component) -> str | dict[str, Any]:
    """Return a component as written in a study file: a name, or a table if it has options or a digest."""
    return _written(component, component.name)


def identity_of(component: Component) -> str | dict[str, Any]:
    """Return a component like :func:`as_written`, without what its results do not depend on."""
    return _written(component, component.name_without_folder)


def _written(component: Component, name: str) -> str | dict[str, Any]:
    if not component.options and not component.digest:
        return name
    digest = {_DIGEST: component.digest} if component.digest else {}
    return {_REFERENCE: name, **digest, **component.options}


def _serialized(component: Component, info: SerializationInfo) -> str | dict[str, Any]:
    return identity_of(component) if is_identity(info) else as_written(component)


#: A component in a study: written as a name, or as a table with ``ref`` and options.
StudyComponent = Annotated[Component, BeforeValidator(component_of), PlainSerializer(_serialized)]
