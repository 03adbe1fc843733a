import json
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.energy.ledger import VERSION, Record, read, read_folder, write
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.sensors.node import Counters
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.errors import ResultsError
from tests.damage import altered, damaged

from .simulated import Node, trial, two_cores


@pytest.fixture
def records() -> list[Record]:
    """Return records of every kind, on a node with RAPL and a GPU."""
    node = Node(two_cores(rapl={"/sys/package-0": 10**9}, gpus=("GPU-a",))).start().work(1, study=0.5).sample()
    node.open(trial("1a2b/1", cpus=0.5, gpus={"GPU-a": 0.5})).work(2, {"1a2b/1": 1.5}, gpu_j={"GPU-a": 3}).sample()
    node.open(trial("evaluation-0/1", bucket="evaluation")).work(1, {"1a2b/1": 1, "evaluation-0/1": 0.25})
    return node.close("1a2b/1").work(1, other=1).close("evaluation-0/1").stop().records


@pytest.fixture
def path(tmp_path, records):
    path = tmp_path / "node.jsonl"
    for record in records:
        write(path, record)
    return path


@pytest.mark.parametrize("kind", ["start", "sample", "open", "close", "stop"])
def test_records_of_every_kind_are_read_as_they_were_written(kind, tmp_path, records):
    for record in (r for r in records if r.kind == kind):
        path = tmp_path / f"{record.seq}.jsonl"
        write(path, record)
        assert read(path) == [record]


def test_a_ledger_is_read_as_it_was_written(path, records):
    assert read(path) == records


def test_a_record_can_be_read_as_soon_as_it_is_written(tmp_path, records):
    path = tmp_path / "node.jsonl"
    for count, record in enumerate(records, start=1):
        write(path, record)
        assert read(path) == records[:count]


def test_a_file_that_does_not_exist_is_empty(tmp_path):
    assert read(tmp_path / "node.jsonl") == []


def test_every_line_twice_counts_once(path, records):
    path.write_text("".join(line * 2 for line in path.read_text().splitlines(keepends=True)))
    assert read(path) == records
    assert account_of_ledger(read(path)) == account_of_ledger(records)


def test_a_file_appended_to_itself_counts_once(path, records):
    path.write_text(path.read_text() * 2)
    assert read(path) == records
    assert account_of_ledger(read(path)) == account_of_ledger(records)


def test_lines_in_another_order_give_the_same_account(path, records):
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert account_of_ledger(read(path)) == account_of_ledger(records)


@pytest.mark.parametrize("torn", ["{", '{"v":1,"kind":"sample"', '{"v":1,"kind":"sample","meter":"m","seq":99}'])
def test_an_incomplete_last_line_is_skipped(path, records, torn):
    with path.open("a") as file:
        file.write(torn)
    assert read(path) == records


def test_a_last_line_that_is_truncated_anywhere_is_skipped(path, records):
    whole = path.read_bytes()
    last = len(whole) - whole.rindex(b"\n", 0, -1) - 1
    for cut in range(1, last):
        path.write_bytes(whole[:-cut])
        assert read(path) == records[:-1]


def test_the_next_record_replaces_an_incomplete_last_line(path, records):
    path.write_bytes(path.read_bytes()[:-20])
    write(path, records[-1])
    assert read(path) == records


@pytest.mark.parametrize(
    "damage",
    [
        "not json",
        "",
        "[1, 2]",
        '"text"',
        "{}",
        '{"v":1,"kind":"sample","meter":"m","seq":3}',
    ],
)
def test_a_damaged_line_is_an_error_with_file_and_number(path, damage):
    lines = path.read_text().splitlines()
    lines[2] = damage
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResultsError) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "line 3" in str(error.value)


def test_bytes_that_are_not_text_are_an_error_with_the_lines_number(path):
    lines = path.read_bytes().splitlines()
    lines[3] = b'{"v":1,\xff\xfe'
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ResultsError, match="line 4"):
        read(path)


@pytest.mark.parametrize("damage", [{"t_ns": "late"}, {"t_ns": None}, {"meter": ["m"]}, {"busy_us": "much"}])
def test_a_value_of_a_wrong_type_is_an_error_with_the_lines_number(path, damage):
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | damage)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResultsError, match="line 2"):
        read(path)


@pytest.mark.parametrize("damage", [{"window": {"id": "x"}}, {"hardware": {"node": "n"}}, {"window": {"colour": 1}}])
def test_a_line_whose_window_or_hardware_is_incomplete_is_an_error(path, damage):
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | damage)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResultsError, match="line 2"):
        read(path)


def record_of(meter: str, seq: int, t_ns: int, boot: str = "boot") -> Record:
    return Record("sample", meter, seq, Counters(boot, t_ns, 0.0, 0), 0)


def test_records_of_two_meters_are_merged_in_the_order_of_time(tmp_path):
    path = tmp_path / "node.jsonl"
    for record in [record_of("a", 0, 10), record_of("a", 1, 30), record_of("b", 0, 20), record_of("b", 1, 40)]:
        write(path, record)
    assert [(r.meter, r.seq) for r in read(path)] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_records_of_the_same_moment_keep_the_order_of_the_file(tmp_path):
    path = tmp_path / "node.jsonl"
    for record in [record_of("z", 5, 10), record_of("a", 0, 10), record_of("m", 1, 10)]:
        write(path, record)
    assert [r.meter for r in read(path)] == ["z", "a", "m"]


def test_an_earlier_boot_comes_first_even_if_its_clock_is_later(tmp_path):
    path = tmp_path / "node.jsonl"
    for record in [record_of("a", 0, 9_000, "first"), record_of("b", 0, 5, "second"), record_of("b", 1, 6, "second")]:
        write(path, record)
    assert [r.counters.boot_id for r in read(path)] == ["first", "second", "second"]


def test_equal_numbers_of_different_meters_are_different_records(tmp_path):
    path = tmp_path / "node.jsonl"
    for record in [record_of("a", 0, 1), record_of("b", 0, 2), record_of("a", 0, 3, "another boot")]:
        write(path, record)
    assert len(read(path)) == 3


def test_a_folder_is_read_by_node(tmp_path, records):
    other = replace(records[0], meter="another")
    write(tmp_path / "one.jsonl", records[0])
    write(tmp_path / "two.jsonl", other)
    (tmp_path / "notes.txt").write_text("not a ledger")
    assert read_folder(tmp_path) == {"one": [records[0]], "two": [other]}


def test_a_folder_that_does_not_exist_is_empty(tmp_path):
    assert read_folder(tmp_path / "ledger") == {}


def test_a_line_holds_raw_counters(path, records):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, record in zip(lines, records, strict=True):
        counters = asdict(record.counters)
        assert {key: line[key] for key in counters} == counters
        assert (line["v"], line["study_us"]) == (VERSION, record.study_us)


@pytest.mark.parametrize("change", [('"busy_us":', '"busy_us":9'), ('"study_us":', '"study_us":1'), ('"v":3', '"v":1')])
def test_a_line_that_was_changed_is_reported_with_its_number(path, change):
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace(*change)
    path.write_text("".join(lines))
    with pytest.raises(ResultsError, match="line 2: the ledger record is damaged"):
        read(path)


def test_a_removed_line_is_reported_whichever_meter_wrote_the_next_one(tmp_path):
    """The ledger has meters of two commands: the first was killed and restarted; the second ended by its driver."""
    node = Node(two_cores()).start().open(trial("a/1")).work(9, {"a/1": 9}).close("a/1").work(9, study=1).sample()
    node.resume().work(1).stop().work(5).start().work(1).sample()
    node._lives += 1
    node._seq = 0
    node.work(1).stop()
    path = tmp_path / "node.jsonl"
    for record in node.records:
        write(path, record)
    lines = path.read_text().splitlines(keepends=True)
    for gone in range(len(lines) - 1):
        path.write_text("".join(lines[:gone] + lines[gone + 1 :]))
        with pytest.raises(ResultsError, match=f"line {gone + 1}: the line that was written before it is missing"):
            read(path)


def test_nothing_is_appended_to_a_ledger_whose_last_line_is_damaged(path, records):
    path.write_bytes(path.read_bytes()[:-30] + b"\n")
    before = path.read_bytes()
    with pytest.raises(ResultsError, match="the last line is damaged"):
        write(path, records[-1])
    assert path.read_bytes() == before


def test_a_meter_that_counted_in_another_file_meanwhile_leaves_no_gap_in_its_numbers(tmp_path):
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    node = Node(two_cores()).start().work(1).stop()
    elsewhere = [node.work(1).sample().records[-1] for _ in range(3)]
    node.records = node.records[:-3]
    node._append("start", hardware=node.hardware).work(1).stop()
    for path, records in ((here, node.records), (there, elsewhere)):
        for record in records:
            write(path, record)
    assert [record.seq for record in read(here)] == [0, 1, 5, 6]


def test_a_ledger_without_its_end_is_told(path, records):
    whole = account_of_ledger(records)
    cut = account_of_ledger(records[:-1])
    assert ("unended" in whole.flags) == (records[-1].kind != "stop")
    assert cut.flags.get("unended") == 1


def test_hosts_one_after_the_other_took_the_sum_of_their_times_and_side_by_side_the_longer():
    def host(began_s, seconds, name):
        node = Node(two_cores(), boot=name).start().work(seconds).stop()
        walls = (began_s, began_s + seconds)
        return [
            replace(record, counters=replace(record.counters, wall_s=wall))
            for record, wall in zip(node.records, walls, strict=True)
        ]

    first = host(1000.0, 100, "a")
    assert account_of_nodes({"a": first, "b": host(5000.0, 100, "b")}).duration_ns == 200 * 10**9
    assert account_of_nodes({"a": first, "b": host(1000.0, 60, "b")}).duration_ns == 100 * 10**9
    assert account_of_nodes({"a": first, "b": host(1050.0, 100, "b")}).duration_ns == 150 * 10**9


ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY
@given(st.data())
def test_a_damaged_ledger_is_refused_or_flagged_or_gives_the_true_charge(path, records, data):
    raw = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(raw)))
        found = account_of_ledger(read(path))
    except ResultsError as error:
        assert str(path) in str(error)
    else:
        assert found == account_of_ledger(records) or found.quality is None or "unended" in found.flags
    finally:
        path.write_bytes(raw)


@ANY
@given(st.data())
def test_an_altered_ledger_with_valid_checksums_gives_a_consistent_account_or_an_error(path, data):
    raw = path.read_bytes()
    try:
        path.write_bytes(data.draw(altered(raw)))
        found = account_of_nodes(read_folder(path.parent))
        assert sum(found.buckets.values()) == found.node_uj >= 0
        json.dumps([found.charged_uj() / 1e6, found.duration_ns / 1e9])
    except ResultsError as error:
        assert str(path) in str(error)
    finally:
        path.write_bytes(raw)


def test_a_copy_of_a_ledger_in_the_same_folder_is_refused(path):
    path.with_name("node (copy).jsonl").write_bytes(path.read_bytes())
    with pytest.raises(ResultsError, match=r"node\.jsonl: contains records of node \(copy\)\.jsonl"):
        read_folder(path.parent)


def test_two_different_records_with_the_same_number_are_refused(path, records):
    write(path, replace(records[2], study_us=records[2].study_us + 1))
    with pytest.raises(ResultsError, match=r"node\.jsonl: two different records of meter .* have number 2"):
        read(path)
