import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtune.errors import KdtuneError
from kdtune.storage.checksums import CHECKSUM_KEY, PREVIOUS_CHECKSUM_KEY, with_checksum
from kdtune.storage.journal import Journal, JournalError, LineChecksums

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
KEYS = st.text().filter(lambda key: key not in (CHECKSUM_KEY, PREVIOUS_CHECKSUM_KEY))  # which the journal adds itself
RECORDS = st.dictionaries(KEYS, VALUES | st.lists(VALUES, max_size=3), max_size=4)
FEW = settings(max_examples=25)  # each line is synced to disk


def plain(path):
    return Journal(path, dict, "record", "delete it")


def chained(path):
    return Journal(path, dict, "record", "delete it", LineChecksums.CHAINED)


def linked(path):
    return Journal(path, dict, "record", "delete it", LineChecksums.LINKED)


def appended(path, records):
    for record in records:
        plain(path).append(record)
    return path


@FEW
@given(st.lists(RECORDS, max_size=5))
def test_appended_lines_are_read_back_in_order(records):
    with TemporaryDirectory() as folder:
        assert plain(appended(Path(folder) / "log.jsonl", records)).read() == records


def test_a_missing_file_has_no_lines(tmp_path):
    assert plain(tmp_path / "absent.jsonl").read() == []


def test_an_empty_file_has_no_lines(tmp_path):
    (tmp_path / "log.jsonl").touch()
    assert plain(tmp_path / "log.jsonl").read() == []


@FEW
@given(RECORDS, st.data())
def test_an_incomplete_last_line_is_skipped(record, data):
    with TemporaryDirectory() as folder:
        path = appended(Path(folder) / "log.jsonl", [{"n": 1}])
        whole = path.stat().st_size
        content = appended(path, [record]).read_bytes()
        path.write_bytes(content[: data.draw(st.integers(whole, len(content) - 1))])
        assert plain(path).read() == [{"n": 1}]


@FEW
@given(RECORDS, st.data())
def test_the_next_append_removes_an_incomplete_last_line(record, data):
    with TemporaryDirectory() as folder:
        path = appended(Path(folder) / "log.jsonl", [{"n": 1}])
        whole = path.stat().st_size
        content = appended(path, [record]).read_bytes()
        path.write_bytes(content[: data.draw(st.integers(whole, len(content) - 1))])
        assert plain(appended(path, [{"n": 2}])).read() == [{"n": 1}, {"n": 2}]


def test_an_incomplete_first_line_is_removed_too(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":')
    assert plain(path).read() == []
    assert plain(appended(path, [{"n": 1}])).read() == [{"n": 1}]


@pytest.mark.parametrize("damage", [b'{"n":', b"", b"\x00\x00\x00", b"\xff\xfe", b"[2]", b"3"])
def test_a_damaged_line_in_the_middle_is_named_by_file_and_number(tmp_path, damage):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":1}\n' + damage + b'\n{"n":3}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2: damaged"):
        plain(path).read()


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_line_that_is_not_valid_json_is_refused_and_changes_nothing(tmp_path, number):
    path = appended(tmp_path / "log.jsonl", [{"n": 1}])
    with pytest.raises(KdtuneError, match="n is (nan|inf), which is not a finite number"):
        plain(path).append({"n": number})
    assert plain(path).read() == [{"n": 1}]


def test_a_line_that_is_not_a_record_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "log.jsonl"
    journal = Journal(path, lambda line: line["n"] + int(line["n"] == "x"), "count", "delete it")
    plain(path).append({"n": 1}, {"n": 2})
    assert journal.read() == [1, 2]
    refusing = Journal(path, lambda line: int("x" * line["n"]), "count", "delete it")
    with pytest.raises(JournalError, match=r"log\.jsonl, line 1: the count is damaged \(.*\); delete it"):
        refusing.read()


# --- checksums -------------------------------------------------------------------------------------------------

CHAIN = [{"n": number, "what": "x" * number} for number in range(5)]


@pytest.fixture(scope="module", params=[chained, linked])
def journal(request, tmp_path_factory):
    """A journal that contains :data:`CHAIN`."""
    journal = request.param(tmp_path_factory.mktemp("chain") / "log.jsonl")
    journal.append(*CHAIN)
    return journal


@pytest.fixture(scope="module")
def lines(journal):
    return journal.path.read_text().splitlines()


def read_from(journal, lines):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return Journal(path, journal.parse, journal.name, journal.remedy, journal.checksums).read()


def test_a_journal_is_read_back_as_it_was_written(journal):
    assert journal.read() == CHAIN


def test_different_lines_with_the_same_checksum_are_both_read(tmp_path):
    numbers, lines, before = range(216_000, 218_500), [], None
    for number in numbers:
        lines.append(with_checksum({"n": number, PREVIOUS_CHECKSUM_KEY: before}))
        before = lines[-1][CHECKSUM_KEY]
    assert lines[1619][CHECKSUM_KEY] == lines[2422][CHECKSUM_KEY]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert [record["n"] for record in chained(path).read()] == list(numbers)


@given(st.lists(st.integers(0, 4), max_size=8))
def test_reordered_lines_are_read_as_a_true_prefix_or_are_an_error(journal, lines, places):
    try:
        found = read_from(journal, [lines[place] for place in places])
    except JournalError as error:
        assert "line " in str(error)
    else:
        if journal.checksums is LineChecksums.CHAINED:
            assert found == CHAIN[: len(found)]
        else:  # the order is checked by the reader of the records
            assert {record["n"] for record in found} == set(range(len({record["n"] for record in found})))


@given(st.data())
def test_a_changed_character_is_detected(journal, lines, data):
    place = data.draw(st.integers(0, 4))
    at = data.draw(st.integers(0, len(lines[place]) - 1))
    changed = lines[place][:at] + data.draw(st.sampled_from("0123456789abc")) + lines[place][at + 1 :]
    try:
        found = read_from(journal, [*lines[:place], changed, *lines[place + 1 :]])
    except JournalError:
        return
    assert found == CHAIN


def test_lines_without_checksums_are_accepted_before_the_first_with_one(tmp_path):
    journal = chained(tmp_path / "log.jsonl")
    plain(journal.path).append({"old": 1})
    journal.append({"new": 2})
    assert journal.read() == [{"old": 1}, {"new": 2}]
    with pytest.raises(JournalError, match="line 1: it has no checksum"):
        linked(journal.path).read()
    journal.path.write_text("".join(f"{line}\n" for line in reversed(journal.path.read_text().splitlines())))
    with pytest.raises(JournalError, match="line 2: the line that was written before it is missing"):
        journal.read()


def test_nothing_is_appended_after_a_damaged_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"no json\n")
    with pytest.raises(JournalError, match="the last line is damaged, so nothing is appended; delete it"):
        chained(path).append({"n": 1})
    assert path.read_bytes() == b"no json\n"
