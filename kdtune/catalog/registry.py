"""Tables of names: what a name stands for is imported only when it is used."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any


def did_you_mean(name: str, known: "list[str]") -> str:
    """A hint such as ``did you mean 'grid'?``, or the whole list where nothing is close."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(known)


@dataclass(frozen=True)
class Entry:
    """One line of a registry: where the thing lives and what is known without importing it.

    Attributes:
        target: ``package.module:attribute``.
        summary: One line for people.
        facts: Further metadata, such as a data set's number of classes.
    """

    target: str
    summary: str
    facts: "dict[str, Any]"

    def load(self) -> Any:
        """Import and return what the entry stands for."""
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


class Registry:
    """A table from name to :class:`Entry` that refuses duplicates and knows what is meant by a typo."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, target: str, summary: str, **facts: Any) -> None:
        """Register a name.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered already, as {self._entries[name].target}")
        self._entries[name] = Entry(target, summary, facts)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise KeyError(self.unknown(name))
        return self._entries[name]

    def facts_of(self, name: str) -> "dict[str, Any]":
        """The facts about a name; none of a name that is not in the table, such as that of a component elsewhere."""
        return self._entries[name].facts if name in self._entries else {}

    def load(self, name: str) -> Any:
        """Import what the name stands for."""
        return self[name].load()

    def unknown(self, name: str) -> str:
        """The message for a name that is not in the table."""
        return f"unknown {self.kind} {name!r}; {did_you_mean(name, list(self._entries))}"
