"""Catalogs, which find and identify the component that a name or reference in a study refers to."""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import ValidationError

from kdtune.catalog.component_digest import change_since
from kdtune.catalog.local_modules import attribute_of_file, attribute_of_module
from kdtune.catalog.packages import version_of
from kdtune.catalog.python_objects import PICKLE
from kdtune.catalog.references import Reference, parse_reference
from kdtune.catalog.source_digest import is_installed, sources_of_file, sources_of_module
from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import KdtuneError, SourceChangedError, UsageError
from kdtune.storage.paths import here

#: Folder of kdtune's own code.
_OURS = Path(__file__).parents[1]


class Scheme(Protocol):
    """Components of another library or of a kind of folder, by their own names, such as ``torchvision:resnet50``."""

    def identify(self, name: str) -> str:
        """Return what identifies the source of a component, such as ``torchvision==0.26.0``.

        Raises:
            ValueError: There is no such component; the message names what is known.
        """

    def load(self, name: str) -> Any:
        """Import and return a component."""


@runtime_checkable
class SchemeWithFacts(Scheme, Protocol):
    """A scheme that makes components of kdtune's own from others, and knows facts about them."""

    def is_built_in(self, name: str) -> bool:
        """Return whether all of a component is kdtune's own code."""

    def facts(self, name: str) -> Mapping[str, Any]:
        """Return the facts about a component, without importing code of others; nothing if none are known."""


@dataclass(frozen=True)
class Entry:
    """A component that was found; nothing of it is imported before :meth:`load`.

    Attributes:
        kind: Such as ``model`` or ``loss``.
        reference: Name or reference of the component; files and folders have absolute paths.
        digest: Identifies the component's source and what it imports, see :mod:`kdtune.catalog.component_digest`; empty
            for a built-in component, whose source belongs to kdtune's version.
        import_it: Imports and returns it.
        summary: One line for people, of a built-in component.
        facts: Properties of a built-in component that are known without importing it.
    """

    kind: str
    reference: str
    digest: str
    import_it: Callable[[], Any] = field(repr=False, compare=False)
    summary: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def load(self) -> Any:
        """Import and return the component.

        Raises:
            UsageError: The component's own code fails when it is imported, or does not define the attribute.
        """
        if not self.digest:  # kdtune's own code
            return self.import_it()
        try:
            return self.import_it()
        except KdtuneError:
            raise
        except (Exception, SystemExit) as error:  # a script may parse a command line of its own
            raise UsageError(f"{self.kind} {self.reference}: cannot be imported: {cause_of(error)}") from error


class Catalog:
    """The components of one kind: built-in ones, those of other packages, and those in users' files."""

    def __init__(self, kind: str, group: str) -> None:
        """Create an empty catalog.

        Args:
            kind: What its components are called in messages.
            group: Entry-point group in which other packages register theirs, such as ``kdtune.models``.
        """
        self.kind = kind
        self.group = group
        self._built_in: dict[str, Entry] = {}
        self._targets: dict[str, str] = {}
        self._schemes = {PICKLE: "kdtune.catalog.python_objects:PICKLES"}
        self._schemes_of_paths = {PICKLE}

    def add(self, name: str, target: str, summary: str, **facts: Any) -> None:
        """Register a built-in component.

        Args:
            name: Its name in study files.
            target: Where it is defined, as ``package.module:attribute``.
            summary: One line for people.
            facts: Properties that are known without importing it, such as a data set's number of classes.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._built_in:
            raise ValueError(f"{self.kind} {name!r} is registered already, as {self._targets[name]}")
        self._targets[name] = target
        self._built_in[name] = Entry(self.kind, name, "", partial(_import, target), summary, facts)

    def add_scheme(self, prefix: str, target: str, *, of_paths: bool = False) -> None:
        """Register a scheme.

        Args:
            prefix: What references begin with, before the colon.
            target: Where a :class:`Scheme` is defined, as ``package.module:attribute``.
            of_paths: Whether the names are paths of files or folders.
        """
        self._schemes[prefix] = target
        if of_paths:
            self._schemes_of_paths.add(prefix)

    def __contains__(self, name: object) -> bool:
        return name in self._built_in

    def __iter__(self) -> Iterator[str]:
        return iter(self._built_in)

    def __getitem__(self, name: str) -> Entry:
        return self._built_in[name]

    def facts_of(self, name: str) -> Mapping[str, Any]:
        """Return the facts about a component that is built in or of a scheme that knows facts; otherwise nothing.

        The code of other components is not imported.
        """
        if name in self._built_in:
            return self._built_in[name].facts
        scheme, rest = self._scheme_with_facts(name)
        return scheme.facts(rest) if scheme else {}

    def is_built_in(self, name: str) -> bool:
        """Return whether a component is built in, or made by a scheme from built-in ones; nothing else is imported."""
        scheme, rest = self._scheme_with_facts(name)
        return name in self._built_in or (scheme is not None and scheme.is_built_in(rest))

    def _scheme_with_facts(self, name: str) -> tuple[SchemeWithFacts | None, str]:
        """Return the scheme that a reference begins with if it knows facts, and the text after it."""
        prefix, _, rest = name.partition(":")
        scheme = _import(self._schemes[prefix]) if rest and prefix in self._schemes else None
        return scheme if isinstance(scheme, SchemeWithFacts) else None, rest

    def resolve(self, text: str, base: Path | None = None) -> Entry:
        """Find a component without importing it.

        Args:
            text: A built-in name, an entry point, ``package.module:NAME``, ``./file.py:NAME`` or ``scheme:NAME``.
            base: Folder to which relative paths refer; the working folder by default.

        Raises:
            ValueError: There is no such component; the message names the cause and what is known.
        """
        if text in self._built_in:
            return self._built_in[text]
        reference = parse_reference(text, tuple(self._schemes))
        match reference.form:
            case "name":
                return self._registered_elsewhere(reference)
            case "module":
                return self._of_module(reference)
            case "file":
                return self._of_file(reference, base or here())
            case "scheme":
                return self._of_scheme(reference, base or here())

    def problem(self, text: str) -> str | None:
        """Return why a reference cannot be resolved; None if it can."""
        try:
            self.resolve(text)
        except ValueError as error:
            return str(error)
        return None

    def load(self, text: str, digest: str = "") -> Any:
        """Import and return a component.

        Args:
            text: See :meth:`resolve`.
            digest: The digest that the component is expected to have; empty accepts any.

        Raises:
            UsageError: There is no such component, or its code fails when it is imported.
            SourceChangedError: Its source or a package that it imports has changed.
        """
        try:
            entry = self.resolve(text)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if digest and (change := change_since(digest, entry.digest)):
            raise SourceChangedError(f"{self.kind} {text}: {change}")
        return entry.load()

    def entry_points(self) -> dict[str, EntryPoint]:
        """Return the components that other packages have registered, by name; built-in names take precedence."""
        return {one.name: one for one in entry_points(group=self.group) if one.name not in self._built_in}

    def _registered_elsewhere(self, reference: Reference) -> Entry:
        others = self.entry_points()
        if point := others.get(reference.place):
            load = partial(attribute_of_module, point.module, point.attr) if point.attr else point.load
            return Entry(self.kind, reference.place, _digest_of_module(point.module, reference), load)
        hint = did_you_mean(reference.place, [*self._built_in, *others])
        raise ValueError(f"unknown {self.kind} {reference.place!r}; {hint}")

    def _of_module(self, reference: Reference) -> Entry:
        if str(here()) not in sys.path and "" not in sys.path:
            sys.path.append(str(here()))  # a command's own path begins with the folder of the command
        load = partial(attribute_of_module, reference.place, reference.attribute)
        return Entry(self.kind, reference.text, _digest_of_module(reference.place, reference), load)

    def _of_file(self, reference: Reference, base: Path) -> Entry:
        file = reference.path(base)
        try:
            digest = sources_of_file(file).component_digest
        except OSError as error:
            raise ValueError(f"{reference.text!r}: {file} cannot be read ({error.strerror})") from None
        except SyntaxError as error:
            raise ValueError(f"{reference.text!r}: {error.filename}, line {error.lineno}: {error.msg}") from None
        load = partial(attribute_of_file, file, reference.attribute)
        return Entry(self.kind, f"{file}:{reference.attribute}", digest, load)

    def _of_scheme(self, reference: Reference, base: Path) -> Entry:
        prefix, name = reference.attribute, reference.place
        if prefix in self._schemes_of_paths:
            name = str(reference.path(base))
        scheme: Scheme = _import(self._schemes[prefix])
        return Entry(self.kind, f"{prefix}:{name}", scheme.identify(name), partial(scheme.load, name))


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _digest_of_module(module: str, reference: Reference) -> str:
    try:
        return sources_of_module(module).component_digest
    except ModuleNotFoundError:
        pass
    except SyntaxError as error:
        raise ValueError(f"{reference.text!r}: {error.filename}, line {error.lineno}: {error.msg}") from None
    try:
        return version_of(module.partition(".")[0])  # a compiled module has no source to digest
    except PackageNotFoundError:
        problem = f"there is no module {module!r}; install its package, or start in its folder"
        raise ValueError(f"{reference.text!r}: {problem}") from None


def cause_of(error: BaseException) -> str:
    """Return an exception in one line, with the place in the user's own code that raised it, or else in a package."""
    text = f"{type(error).__name__}: {_message_of(error)}".splitlines()[0].rstrip(": ")
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<frozen")]
    # Compiled code, such as numpy's, names its source, which is not installed.
    frames = [one for one in frames if not one.filename.endswith(".pyx")]
    frames = [one for one in frames if not Path(one.filename).is_relative_to(_OURS)]
    users = [one for one in frames if not is_installed(Path(one.filename))]
    others = [one for one in frames if "/torch/" not in one.filename]  # such as the package of a network
    last = next(reversed(users or others or frames), None)
    return f"{text} ({last.filename}, line {last.lineno})" if last else text


def _message_of(error: BaseException) -> str:
    """Return the message of an exception, and of all invalid values if it is one of pydantic."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return str(error)
