"""The text that identifies the source of a component, and what has changed between two of them.

It consists of a digest of source files, 16 hexadecimal digits, and of the versions of the packages that they import, as
``name==version``, separated by spaces. A component of another library, such as ``torchvision:resnet50``, has versions
alone.
"""

import re
from collections.abc import Iterable

#: Hexadecimal digits of the digest of source files.
DIGITS = 16

_VERSION = r"[A-Za-z0-9._-]+==[^\s=]+"
_TEXT = re.compile(rf"(?:[0-9a-f]{{{DIGITS}}}|{_VERSION})(?: {_VERSION})*")


def component_digest(sources: str, versions: Iterable[str]) -> str:
    """Return the text for a digest of source files, of which the first digits are kept, and versions of packages."""
    return " ".join([sources[:DIGITS], *versions])


def is_component_digest(text: object) -> bool:
    """Return whether a value of a frozen study is such a text."""
    return isinstance(text, str) and _TEXT.fullmatch(text) is not None


def change_since(before: str, now: str) -> str | None:
    """Return how a component has changed since a study began, with the remedy; None if it has not.

    A text that has no versions may have been written by a release that did not record any, so nothing is known about
    the packages of that time, and only the digests of the source files are compared.

    Args:
        before: The text that the study recorded.
        now: The text of the component as it is now.
    """
    changes, remedies = [], []
    sources, versions = _parts(before)
    sources_now, versions_now = _parts(now)
    if not versions:
        versions_now = {}
    if (sources, versions) == (sources_now, versions_now):
        return None
    if sources != sources_now:
        changes.append("has been edited since the study began")
        remedies.append("restore the earlier source")
    if others := [one for one in sorted({*versions, *versions_now}) if versions.get(one) != versions_now.get(one)]:
        shown = ", and ".join(_both(name, versions.get(name), versions_now.get(name)) for name in others)
        changes.append(f"uses other versions of packages: {shown}")
        remedies.append(f"install the earlier {'version' if len(others) == 1 else 'versions'}")
    return f"{' and '.join(changes)}; {' and '.join(remedies)}, or begin the study anew with 'kdtune study --fresh'"


def _parts(text: str) -> tuple[str, dict[str, str]]:
    """Return the digest of the source files, empty if there is none, and the version of each package."""
    parts = text.split()
    versions = dict(part.split("==", 1) for part in parts if "==" in part)
    return "".join(part for part in parts if "==" not in part), versions


def _both(name: str, before: str | None, now: str | None) -> str:
    then = f"{name} {before}" if before else f"{name}, not installed"
    return f"{then} when the study began, {now or 'not installed'} now"
