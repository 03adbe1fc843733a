"""The component that a conformance suite tests."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from kdtune.specs.component import Component, component_of

#: What a study may name a component by.
ComponentLike = str | Mapping[str, Any] | Callable[..., Any] | Component


class ComponentConformance:
    """Base class of the suites.

    Attributes:
        component: The component: a name, a reference, a table with ``ref`` and options, or a function or class.
            Relative paths refer to the working folder. A subclass that tests several components, or one that needs
            fixtures, overrides the suite's fixture instead.
    """

    component: ClassVar[ComponentLike | None] = None

    def named(self, fixture: str) -> Component:
        """Return the component that the class attribute names.

        Args:
            fixture: Name of the suite's fixture, for the message.

        Raises:
            NotImplementedError: The subclass names no component.
        """
        if self.component is None:
            raise NotImplementedError(
                f"{type(self).__name__}: name what is to be tested, such as "
                'component = {"ref": "my_package.my_module:Mine", "width": 2}; '
                f"or define a fixture {fixture!r} that returns a kdtune.specs.component.Component"
            )
        found = component_of(_as_written(type(self)))
        assert isinstance(found, Component), f"component has to be a name, a table, a function or a class, got {found}"
        return found


def _as_written(suite: type[ComponentConformance]) -> ComponentLike | None:
    """Return the attribute as it was written: a function is not bound to an instance of the suite."""
    return next(vars(one)["component"] for one in suite.__mro__ if "component" in vars(one))
