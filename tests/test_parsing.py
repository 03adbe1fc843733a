import pytest

from kdtune.parsing import parse_json, parse_toml


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
def test_json_that_kdtune_never_writes_is_one_kind_of_error(raw):
    with pytest.raises(ValueError):
        parse_json(raw)


def test_json_that_it_writes_is_read():
    assert parse_json('{"a": [1, 2.5, null, "\\u00e9 \\ud83d\\ude00"]}') == {"a": [1, 2.5, None, "é 😀"]}


@pytest.mark.parametrize("raw", [b"a = " + b"[" * 10_000, b"a = " + b"9" * 5000, b"\xff", b"a = 1\na = 2"])
def test_toml_that_cannot_be_is_one_kind_of_error(raw):
    with pytest.raises(ValueError):
        parse_toml(raw)
