from math import inf, nan

import pytest

from kdtune.errors import KdtuneError
from kdtune.storage.files import write_json
from kdtune.storage.journal import append_lines
from kdtune.storage.parsing import parse_json, parse_toml, to_json


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b"\xff\xfe\x00",
        b"",
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_unexpected_json_raises_one_type_of_error(raw):
    with pytest.raises(ValueError):
        parse_json(raw)


def test_json_that_kdtune_writes_is_parsed():
    assert parse_json('{"a": [1, 2.5, null, "\\u00e9 \\ud83d\\ude00"]}') == {"a": [1, 2.5, None, "é 😀"]}


@pytest.mark.parametrize("raw", [b"a = " + b"[" * 10_000, b"a = " + b"9" * 5000, b"\xff", b"a = 1\na = 2"])
def test_invalid_toml_raises_one_type_of_error(raw):
    with pytest.raises(ValueError):
        parse_toml(raw)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"val_loss": nan}, "val_loss is nan"),
        ({"a": 1.5, "test": {"f1": None, "metrics": [0.5, {"accuracy": inf}]}}, "test.metrics.1.accuracy is inf"),
        ([(1, -inf)], "0.1 is -inf"),
    ],
)
def test_a_number_that_is_not_finite_is_named_with_its_key_and_nothing_is_written(tmp_path, value, told):
    for write in (write_json, append_lines):
        with pytest.raises(KdtuneError, match=f"^{tmp_path}/out.json: {told}, which is not a finite number"):
            write(tmp_path / "out.json", value)
    assert not (tmp_path / "out.json").exists()


def test_other_json_errors_are_those_of_python():
    circle: list = []
    circle.append(circle)
    with pytest.raises((ValueError, RecursionError)):
        to_json(circle, "out.json")
