import copy
import io

import pytest
from rich.console import Console

from kdtune.analysis.payback import payback
from kdtune.report.inference_table import (
    NETWORK_COLUMNS,
    inference_tables,
    network_rows,
    notes,
    payback_line,
    payback_row,
)
from kdtune.report.inference_units import InferenceUnits
from kdtune.results.inference_document import InferenceDocument
from kdtune.storage.records import as_record, parsed
from tests.report.inference_documents import NODE, inference_document


@pytest.fixture
def document():
    return inference_document()


def typed(*documents):
    return [parsed(document, InferenceDocument) for document in documents]


def with_units(document):
    [found] = typed(document)
    return found, InferenceUnits.of([found])


def shown(*documents):
    console = Console(width=200, file=io.StringIO(), no_color=True)
    console.print(inference_tables(typed(*documents)))
    return console.file.getvalue()


def test_teacher_and_student_stand_above_how_many_times_the_one_is_the_other(document):
    found, units = with_units(document)
    columns = units.named(NETWORK_COLUMNS, found)
    assert columns[4:] == ["ms a pass", "images/s", "uJ an image", "mJ a pass", "mg CO2 a pass", "mg CO2 a million"]
    teacher, student, times = (dict(zip(columns, row, strict=True)) for row in network_rows(found, units))
    assert teacher["network"] == "teacher (big)" and student["network"] == "student (small)"
    assert (teacher["parameters"], teacher["MACs"], teacher["ms a pass"]) == ("4,000", "8 million", "400")
    assert (student["images/s"], student["uJ an image"], student["test acc. %"]) == ("10,000 +- 120", "100", "90.0")
    assert (times["MACs"], times["ms a pass"], times["mg CO2 a million"]) == ("4.00 x", "4.00 x", "4.00 x")
    assert times["test acc. %"] == "-"


def test_a_strategy_is_repaid_after_a_number_of_predictions(document):
    assert payback_row(*with_units(document)) == [
        "grid",
        "90.0",
        "1.2",
        "4 million (3.69 million to 4.36 million)",
        "4",
        "13.3 million (12.3 million to 14.5 million)",
    ]
    [line] = [line for line in notes(typed(document)) if line.startswith("A prediction saves")]
    assert "300 uJ (275 to 325: 95%, Student's t over 3 pairs of turns)" in line


def test_a_student_that_is_not_cheaper_repays_never_and_that_is_said(document):
    for one in document["payback"].values():
        one |= {"predictions": None, "never": True}
    assert payback_row(*with_units(document))[3::2] == ["never", "never"]
    assert any("no less energy than the teacher" in line for line in notes(typed(document)))


def test_what_is_not_settled_is_no_number_and_says_why(document):
    for name in document["payback"]:
        document["payback"][name] = as_record(payback(1000, [5.0, -5.0, 1.0]))
    assert payback_row(*with_units(document))[3::2] == ["not settled", "not settled"]
    assert any("Not settled: the measured saving is not significantly" in line for line in notes(typed(document)))


def test_the_papers_pass_stands_beside_that_of_the_same_network(document):
    assert not any("Figure 1" in line for line in notes(typed(document)))
    document["teacher"]["model"] = "resnet18"
    [line] = [line for line in notes(typed(document)) if "Figure 1" in line]
    # 0.08 g a million, a pass of 1,000.
    assert "prints 4.7 s and 0.087 g CO2" in line and "the teacher's here took 0.4 s and 8.00e-05 g for 1000" in line


def test_a_teacher_of_unknown_cost_has_a_dash(document):
    document["payback"]["with_teacher"] = as_record(payback(None, [290.0, 300.0, 310.0]))
    assert payback_row(*with_units(document))[4:] == ["-", "-"]
    document["payback"]["with_teacher"]["never"] = True
    assert payback_row(*with_units(document))[4:] == ["-", "-"]


def test_the_notes_show_static_power_and_the_source_of_energy(document):
    text = " ".join(notes(typed(document)))
    assert "50% of the teacher's, 50% of the student's" in text and "and idle devices" in text
    assert "Energy: modelled" in text and "off by 40%" in text and "475 g/kWh" in text
    for word in (
        "Different from the record",
        "Never",
        "Other processes",
        "another machine",
        "another way",
        "timed",
    ):
        assert word not in text
    assert "and idle devices" not in " ".join(notes(typed(document | {"attribution": "shared"})))


def test_an_accuracy_that_differs_from_the_record_is_noted(document):
    document["student"]["test_accuracy"] = 0.899
    [line] = [line for line in notes(typed(document)) if "Different from the record" in line]
    assert "the student of grid classified 899 of 1000 test images correctly here, and 900" in line


def test_the_metric_that_decided_the_study_is_shown_in_place_of_an_accuracy(document):
    document["objective"] = "map"
    for role, value in (("teacher", 0.7), ("student", 0.5)):
        document[role] |= {"test_accuracy": None, "recorded_test_accuracy": None}
        document[role] |= {"test_objective": value, "recorded_test_objective": 0.7}
    text, [found] = shown(document), typed(document)
    assert text.count("test mAP %") == 2 and "acc." not in text
    units = InferenceUnits.of([found])
    assert [row[3] for row in network_rows(found, units)[:2]] == ["70.0", "50.0"]
    assert payback_row(found, units)[1] == "50.0"
    [line] = [line for line in notes([found]) if "Different from the record" in line]
    assert "the student of grid reached a mAP of 50.0 % here, and of 70.0 % when the study ran" in line


def test_a_busy_machine_and_another_machine_are_noted(document):
    document["teacher"]["energy_uj"]["other"] = 100_000
    document["charged"] = {"quality": "counter", "hardware": [NODE | {"cpu_model": "another CPU"}]}
    document["student"]["flags"] = {"node_shared": 1}
    text = " ".join(notes(typed(document)))
    assert "up to 10% of the machine's energy" in text
    assert "another machine than this one: 2 cores of another CPU" in text
    assert "obtained in another way (counter)" in text
    assert "another study was metered" in text


def test_strategies_that_were_measured_as_one_share_a_table_and_others_have_their_own(document):
    fixed = copy.deepcopy(document) | {"strategy": "fixed"}
    elsewhere = copy.deepcopy(document) | {"study": "t"}
    elsewhere["teacher"]["wall_s"] = 3.0
    text = shown(document, fixed, elsewhere)
    assert text.count("teacher (big)") == 2
    assert "The student of grid was timed" in text
    assert "s: inference, 1000 test images a pass, 128 at a time, on a CPU" in text
    assert [line.split()[0] for line in text.splitlines() if "4 million" in line] == ["grid", "fixed", "grid"]


def test_one_line_for_under_a_cost_table(document):
    once = document | {"strategy": "fixed", "batch_size": 1}
    assert payback_line(typed(document, once)) == (
        "Predictions after which a student has repaid what it was charged: grid 4 million (3.69 million to 4.36 "
        "million) (128 at a time on a CPU); fixed 4 million (3.69 million to 4.36 million) (1 at a time on a CPU)."
    )
    for known in (document, once):
        known["payback"] = dict.fromkeys(("one_model", "with_teacher"), as_record(payback(None, [])))
    assert payback_line(typed(document, once)) == ""
