"""What may become of a file: strategies of damage, for every test that holds kdtune against damaged files."""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import tomli_w
from hypothesis import strategies as st

from kdtune.storage.checksums import CHECKSUM_KEY, PREVIOUS_CHECKSUM_KEY, with_checksum

#: What may stand where something else is expected; huge numbers, and what is a number only to some.
VALUES = st.sampled_from(
    [None, True, -1, 0, 2, 10**9, 2**63, 10**400, 0.5, -0.5, 1e308, "", "x", "grid", "../x", "\x1b[2J", [], {}, [1]]
    + [{"a": {"b": 1}}, [[[]]], 10**4000]
)

#: Whole files of another kind.
OTHERS = st.sampled_from(
    [
        b"",
        b"\n",
        b"{}",
        b"{}\n",
        b"[]\n",
        b"3\n",
        b"null\n",
        b'"text"\n',
        b"NaN\n",
        b"a = 1\n",
        b"[a]\nb = 2\n",
        b"\xff\xfe",
    ]
    + [b"[" * 100_000, b'{"a":' * 100_000, b"a = " + b"[" * 10_000, b'{"a": "\\ud800"}\n', b'{"a": 1e999}\n']
    + [b"a = " + b"9" * 5000, b'{"a": ' + b"9" * 5000 + b"}\n", bytes(1000), b"PK\x03\x04" + bytes(64), b"\x80\x02."]
)


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """A file's content after one mishap, of those that happen to bytes and to lines."""
    return draw(draw(st.sampled_from([_cut, _flipped, _overwritten, _lines_moved, _spliced, _other]))(raw))


@st.composite
def altered(draw: st.DrawFn, raw: bytes) -> bytes:
    """JSON, JSON lines or TOML in which one value is another, or gone; as it was written, so with checksums that fit.

    It stands for somebody's own files, which no checksum tells from kdtune's.
    """
    documents, write = _parsed(raw)
    for document in documents:
        document.pop(CHECKSUM_KEY, None)
    places = [one for document in documents for one in _tables_in(document)]
    if not places:
        return raw
    inside = draw(st.sampled_from(places))
    key = draw(st.sampled_from(sorted(inside)))
    what = draw(st.sampled_from(["gone", "other", "other", "renamed", "deep"]))
    if what == "gone":
        del inside[key]
    elif what == "renamed":
        inside[draw(st.sampled_from(["x", "", "../x", "\x1b[2J", "a" * 300]))] = inside.pop(key)
    elif what == "deep":
        inside[key] = _nested(draw(st.integers(1, 60)))
    else:
        inside[key] = draw(VALUES)
    return write(documents)


def resealed(lines: list[dict[str, Any]]) -> bytes:
    """JSON lines as kdtune would have written them one after the other."""
    last, written = None, []
    for line in lines:
        bare = {k: v for k, v in line.items() if k not in (CHECKSUM_KEY, PREVIOUS_CHECKSUM_KEY)}
        record = with_checksum({**bare, PREVIOUS_CHECKSUM_KEY: last})
        last = record[CHECKSUM_KEY]
        written.append(json.dumps(record, separators=(",", ":")) + "\n")
    return "".join(written).encode()


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def _cut(raw: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(raw)).map(lambda end: raw[:end])


def _flipped(raw: bytes) -> st.SearchStrategy[bytes]:
    """One to three bits are the other way round."""

    def flip(bits: list[int]) -> bytes:
        changed = bytearray(raw)
        for bit in bits:
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    return st.lists(st.integers(0, max(0, len(raw) * 8 - 1)), min_size=1, max_size=3, unique=True).map(
        lambda bits: flip(bits) if raw else raw
    )


@st.composite
def _overwritten(draw: st.DrawFn, raw: bytes) -> bytes:
    """Some bytes are others, those that mean something to a parser among them."""
    changed = bytearray(raw)
    for _ in range(draw(st.integers(1, 3)) if raw else 0):
        place = draw(st.integers(0, len(raw) - 1))
        changed[place] = draw(st.one_of(st.integers(0, 255), st.sampled_from(b'0123456789-.eE"{}[],:\n_tf\\=')))
    return bytes(changed)


@st.composite
def _lines_moved(draw: st.DrawFn, raw: bytes) -> bytes:
    """Lines are gone, there twice, or in another order."""
    lines = raw.splitlines(keepends=True)
    if not lines:
        return raw
    what = draw(st.sampled_from(["gone", "twice", "moved", "shuffled"]))
    place = draw(st.integers(0, len(lines) - 1))
    if what == "shuffled":
        return b"".join(draw(st.permutations(lines)) if len(lines) < 200 else reversed(lines))
    if what == "gone":
        del lines[place : place + draw(st.integers(1, 3))]
    else:
        line = lines[place] if what == "twice" else lines.pop(place)
        lines.insert(draw(st.integers(0, len(lines))), line)
    return b"".join(lines)


@st.composite
def _spliced(draw: st.DrawFn, raw: bytes) -> bytes:
    """A piece is missing, is zeros, or stands for another: what a bad disk or an editor leaves."""
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, min(len(raw), start + 5000)))
    return raw[:start] + draw(st.sampled_from([b"", bytes(end - start), raw[: end - start], b"\xff\xfe"])) + raw[end:]


def _other(raw: bytes) -> st.SearchStrategy[bytes]:
    return OTHERS


def _parsed(raw: bytes) -> tuple[list[dict[str, Any]], Callable[[list[dict[str, Any]]], bytes]]:
    """The documents of a file, and what writes them again; none of a text."""
    with suppress(ValueError):
        return [json.loads(raw)], lambda documents: json.dumps(with_checksum(documents[0])).encode()
    with suppress(ValueError):
        return [json.loads(line) for line in raw.splitlines()], resealed
    with suppress(ValueError):
        return [_without_seal(tomllib.loads(raw.decode()))], lambda documents: _toml(documents[0])
    return [], lambda documents: raw


def _without_seal(table: dict[str, Any]) -> dict[str, Any]:
    if isinstance(table.get("resolved"), dict):
        table["resolved"].pop(CHECKSUM_KEY, None)
    return table


def _toml(table: dict[str, Any]) -> bytes:
    return tomli_w.dumps(_without_nulls(table)).encode()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value if inner is not None]
    return value


def _tables_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every table with a key, at any depth."""
    if isinstance(value, dict) and value:
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _tables_in(child)
