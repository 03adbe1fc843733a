import io
import os

import pytest
from rich.console import Console

from kdtune.energy.carbon import PAPER
from kdtune.paper.filled_tables import beside_the_paper
from kdtune.report.paper_tables import notes, paper_markdown, paper_tables
from tests.results.several import CIFAR100_HKD, ran


@pytest.fixture
def comparison(tmp_path):
    ran(tmp_path, "grid", [0.101, 0.121], trial_s=[3, 5], images=(4_500, 500), **CIFAR100_HKD)
    return beside_the_paper([tmp_path])


def shown(comparison):
    console = Console(width=200, file=io.StringIO(), no_color=True)
    console.print(paper_tables(comparison))
    return console.file.getvalue()


def of_table_4(text):
    """Return the CIFAR-100 block of Table 4, up to its footnotes."""
    return text.partition("Table 4:")[2].partition("CIFAR-100")[2].partition("Tiny ImageNet")[0]


def footnotes(text, number):
    """Return the footnotes of a table by their marks."""
    part = text.partition(f"Table {number}:")[2].replace("### ", "").replace("\n- ", "\n").partition("\nTable ")[0]
    lines = [line for line in part.splitlines() if line.startswith("[")]
    return {line[1 : line.index("]")]: line.partition("] ")[2] for line in lines}


def test_a_filled_row_has_paper_ours_and_ratio_and_the_others_dashes(comparison):
    rows = [line.split() for line in of_table_4(shown(comparison)).splitlines() if line.startswith((" HKD", " CMC"))]
    assert " ".join(rows[0]).startswith("HKD [1] 69.70 +- 0.12 11.10 +- 1.41 (n 2) [a, b, c, d] 0.159 x 128.40")
    assert " ".join(rows[1]) == "HKD, Ours [3] 69.40 +- 0.37 - - 6.42 - - 0.20 - - 61.60 -"


def test_a_reduced_run_is_marked_and_its_sign_explained(comparison):
    told = footnotes(shown(comparison), 4)
    assert told["a"] == "reduced run: 3 of 100 epochs, 5,000 of 50,000 images, 3 of 100 epochs of the teacher"
    assert any("CIFAR-100" in text for sign, text in told.items() if sign.isdigit())


def test_every_sign_has_its_footnote(comparison):
    for number in (1, 4, 5, 7):
        part = shown(comparison).partition(f"Table {number}:")[2].partition("\nTable ")[0]
        heads = [line for line in part.splitlines() if not line.startswith("[")]
        signs = {sign for line in heads for piece in line.split("[")[1:] for sign in piece.split("]")[0].split(", ")}
        assert signs == set(footnotes(shown(comparison), number))


def test_energy_says_whose_pue_is_in_it(comparison, tmp_path):
    told = " ".join(notes(comparison))
    assert (
        "times a PUE of 1; --preset" in told and "The paper's kWh include PUE 1.67" in told and "--preset paper" in told
    )
    assert "--preset paper" not in " ".join(notes(beside_the_paper([tmp_path], PAPER)))
    assert "not a measurement" in told
    assert "start-up and idle power, without" in told and "262 to 311 g per kWh" in told
    assert f"Ours are from {os.path.relpath(tmp_path / 'cifar100-hkd')}." in told


def test_where_idle_power_is_not_charged_the_notes_do_not_say_so(tmp_path):
    ran(tmp_path, "grid", [0.1], **{**CIFAR100_HKD, "attribution": "shared"})
    one = " ".join(notes(beside_the_paper([tmp_path])))
    assert "but no idle power (shared attribution)" in one
    ran(tmp_path, "stochastic", [0.1], **CIFAR100_HKD)
    assert "idle power of those with dedicated attribution" in " ".join(notes(beside_the_paper([tmp_path])))


def test_a_run_that_was_begun_is_to_be_resumed_and_not_run_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran(tmp_path / "results", "grid", [None], **{**CIFAR100_HKD, "name": "cifar10-hkd", "dataset": "cifar10"})
    told = notes(beside_the_paper())
    assert "None of the paper's studies has been run." not in told
    assert told[-1] == (
        "To fill them: kdtune resume results/cifar10-hkd/grid; "
        "kdtune study cifar100-hkd -s grid -s stochastic -s none, and so on."
    )


def test_what_is_missing_says_what_to_type(comparison, tmp_path, monkeypatch):
    assert "To fill them: kdtune study cifar10-hkd -s grid -s stochastic -s none" in " ".join(notes(comparison))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    nothing = beside_the_paper()
    assert "None of the paper's studies has been run." in notes(nothing)
    assert " KD [1]      69.70      -       -   3.80      -          -   1170.40      - " in shown(nothing)


def test_no_figure_is_cut_off_for_want_of_width(comparison):
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown(comparison)


def test_markdown_has_the_same_cells(comparison):
    lines = paper_markdown(comparison).splitlines()
    assert any(line.startswith("| HKD [1] | 69.70 +- 0.12 | 11.10 +- 1.41 (n 2) [a, b, c, d] |") for line in lines)
    assert "| HKD, Ours [3] | 69.40 +- 0.37 | - | - | 6.42 | - | - | 0.20 | - | - | 61.60 | - |" in lines
    assert footnotes("\n" + paper_markdown(comparison), 4) == footnotes(shown(comparison), 4)


def test_table_5_tells_the_standard_definitions_too(tmp_path):
    metrics = {"specificity": 0.99, "prevalence": 0.1, "paper_specificity": 0.9, "paper_prevalence": 0.09}
    study = {**CIFAR100_HKD, "name": "cifar10-hkd", "dataset": "cifar10"}
    ran(
        tmp_path, "grid", [0.9], metrics={**metrics, "precision": 0.91, "recall": 0.9, "kappa": 0.8, "f1": 0.9}, **study
    )
    text = shown(beside_the_paper([tmp_path])).partition("Table 5:")[2]
    assert "KD, ours by the standard definitions: specificity 0.99, prevalence 0.1." in text
