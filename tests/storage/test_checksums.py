import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtune.storage.checksums import TornChainError, append_sealed, chained, sealed, unsealed
from kdtune.storage.files import append_lines, read_lines

RECORDS = [{"n": number, "what": "x" * number} for number in range(5)]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "log.jsonl"
    for record in RECORDS:
        append_sealed(path, record)
    return read_lines(path)


def test_a_chain_is_read_back_as_it_was_written(lines):
    assert chained(lines) == RECORDS


@given(st.lists(st.integers(0, 4), max_size=8))
def test_whatever_becomes_of_the_order_it_is_a_true_beginning_or_an_error(lines, places):
    try:
        found = chained([lines[place] for place in places])
    except ValueError as error:
        assert "line " in str(error)
    else:
        assert found == RECORDS[: len(found)]


@given(st.data())
def test_a_changed_letter_is_noticed(lines, data):
    place = data.draw(st.integers(0, 4))
    text = json.dumps(lines[place])
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from("0123456789abc")) + text[at + 1 :]
    try:
        line = json.loads(changed)
        found = chained([*lines[:place], line, *lines[place + 1 :]])
    except ValueError:
        return
    assert found == RECORDS


def test_lines_of_before_there_were_checksums_are_believed_up_to_the_first_that_has_one(tmp_path):
    path = tmp_path / "log.jsonl"
    append_lines(path, {"old": 1})
    append_sealed(path, {"new": 2})
    lines = read_lines(path)
    assert chained(lines) == [{"old": 1}, {"new": 2}]
    with pytest.raises(ValueError, match="line 2"):
        chained([lines[1], lines[0]])


def test_nothing_is_added_to_a_damaged_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"no json\n")
    with pytest.raises(TornChainError):
        append_sealed(path, {"n": 1})
    assert path.read_bytes() == b"no json\n"


def test_a_sealed_document_that_was_changed_is_refused():
    document = sealed({"charged_uj": 5})
    assert unsealed(document) == {"charged_uj": 5} == unsealed({"charged_uj": 5})
    with pytest.raises(ValueError, match="changed after it was written"):
        unsealed({**document, "charged_uj": 6})
