"""Recommendations from hand-written results, and their text."""

import json
import shlex
import shutil

import pytest

from kdtune.analysis.recommendation import recommend
from kdtune.analysis.restart_controls import control_options, restarts_training
from kdtune.analysis.study_commands import command_for, definition
from kdtune.report.cost_rows import chosen_points
from kdtune.report.export.model_card import model_card
from kdtune.report.html.drawing import Series
from kdtune.report.html.study_tables import cost_overview
from kdtune.report.recommendation_text import missing_lines, recommendation_text, verdict_text
from kdtune.report.reported_study import read_study
from kdtune.results.folder import StudyFolder
from kdtune.specs import load_study
from tests.results.several import ran
from tests.studies import here

BASE = [0.600, 0.612, 0.595, 0.604, 0.588, 0.607]
SECONDS = [4.0, 4.2, 4.1, 4.0, 4.3, 4.1]
TWO = [{"tau": 2}, {"tau": 4}]
GAIN = (0.03, 0.02, 0.025, 0.031, 0.022, 0.028)
LITTLE = (0.001, -0.001, 0.0, 0.0, 0.001, 0.0)
LOSS = (-0.03, -0.02, -0.025, -0.031, -0.022, -0.028)
STRATEGIES = {"grid": {}, "best-of": {"of": "fixed", "tau": 4}, "fixed": {}, "none": {}}
GAIN_OF_NONE = (0.05, -0.03, 0.03, -0.02, 0.04, -0.03)
NOISE_ABOVE_NONE = (0.02, -0.03, 0.04, -0.01, 0.03, -0.02)
NOISE = (0.01, -0.02, 0.015, 0.0, -0.01, 0.02)
ABOVE_NOISE = tuple(round(noise + little, 4) for noise, little in zip(NOISE, LITTLE, strict=True))


def study(place, **by):
    """A study in which ``fixed`` has the accuracies of BASE, and other strategies differ from it."""
    kinds = {"grid": TWO, "best_of": TWO, "fixed": [{"tau": 4}], "none": [{"loss": "ce"}]}
    for name, differences in {"fixed": [0.0] * 6, **by}.items():
        accuracies = [round(base + one, 4) for base, one in zip(BASE, differences, strict=True)]
        ran(place, name.replace("_", "-"), accuracies, points=kinds[name], trial_s=SECONDS, strategies=STRATEGIES)
    return place / "small"


@pytest.mark.parametrize(
    ("by", "advice", "use"),
    [
        ({"grid": GAIN, "best_of": LITTLE, "none": LOSS}, "search", "grid"),
        ({"grid": GAIN, "none": LOSS}, "search", "grid"),
        ({"grid": LITTLE, "best_of": LITTLE, "none": LOSS}, "one training", "fixed"),
        ({"grid": GAIN, "best_of": GAIN, "none": LOSS}, "one training", "fixed"),  # restarts gain as much: luck
        ({"grid": LOSS, "none": LOSS}, "one training", "fixed"),
        ({"grid": NOISE, "best_of": NOISE, "none": LOSS}, "open", "fixed"),
        ({"none": LOSS}, "open", "fixed"),
        ({"grid": NOISE_ABOVE_NONE, "none": NOISE}, "open", "grid"),  # alone better than none in its mean
        ({"grid": ABOVE_NOISE, "none": NOISE}, "open", "none"),  # the search is equivalent to the student alone
        ({"none": NOISE}, "open", "none"),  # whose mean is better, by less than the noise
        ({"grid": LITTLE, "none": NOISE}, "open", "none"),
        ({"grid": LITTLE, "none": LITTLE}, "no teacher", "none"),
        ({"grid": GAIN, "best_of": LITTLE, "none": [0.1] * 6}, "no teacher", "none"),
    ],
)
def test_the_advice_follows_from_the_gain_its_control_and_the_teacher(tmp_path, by, advice, use):
    [found] = recommend(study(tmp_path, **by))
    assert (found.advice, found.use) == (advice, use)


def test_a_quantised_student_is_no_answer_to_how_to_train_it(tmp_path):
    folder = study(tmp_path, grid=LITTLE, best_of=LITTLE, none=LOSS)
    point = {"loss": "ce", "quantised": "qat", "after": "fixed"}
    ran(tmp_path, "qat", [one + 0.1 for one in BASE], points=[point], trial_s=SECONDS, strategies=STRATEGIES)
    [found] = recommend(folder)
    assert (found.advice, found.use, found.alone.strategy) == ("one training", "fixed", "none")
    [alone] = recommend(folder / "qat")
    assert alone.use == "qat"
    assert not any("-s qat" in (one.command or "") for one in alone.missing)


def test_a_search_that_was_started_is_to_be_resumed_and_not_to_be_run_again(tmp_path):
    folder = study(tmp_path, none=LOSS)
    ran(tmp_path, "grid", [None] * 6, points=TWO, trial_s=SECONDS, strategies=STRATEGIES)
    [found] = recommend(folder)
    texts = [one.what for one in found.missing]
    assert "a search" not in texts and "the rest of grid, which is incomplete" in texts


def test_the_paragraph_names_gain_energy_control_and_repeats(tmp_path):
    [found] = recommend(study(tmp_path, grid=GAIN, best_of=GAIN, none=LOSS))
    text = recommendation_text(found)
    assert text.startswith(
        "small: Use fixed (tau 4); a search is not worth it. Searching with grid (2 trainings) gains "
    )
    assert "gains +2.6 (+2.1 to +3.1) points over fixed for 2 times the energy (better); 2 restarts of one" in text
    assert "(best-of) gain +2.6 (+2.1 to +3.1), so the search itself gains +0.0" in text
    assert "Distillation with fixed gains +2.6 (+2.1 to +3.1) points over none" in text
    assert text.endswith(
        "This rests on 6 repeats, paired by seed, and on a margin of 0.5 points below which a "
        "difference does not matter."
    )
    assert missing_lines(found) == []


def test_losses_are_called_losses(tmp_path):
    """Also before they are established."""
    [found] = recommend(study(tmp_path, grid=LOSS, best_of=LOSS, none=GAIN_OF_NONE))
    text = recommendation_text(found)
    assert "grid (2 trainings) loses 2.6 (2.1 to 3.1) points to fixed for" in text
    assert "2 restarts of one training (best-of) lose 2.6 (2.1 to 3.1), so the search itself gains +0.0 " in text
    assert text.startswith("small: There is no answer yet; until then, use none.")
    assert "Distillation with fixed loses 0.7 (-" in text
    assert "Distillation with fixed loses" in verdict_text(found), "it decides what to use"


def test_the_luck_of_a_search_is_unknown_only_if_it_gains(tmp_path):
    for place, differences, says in (("gain", GAIN, True), ("loss", LOSS, False)):
        [found] = recommend(study(tmp_path / place, grid=differences))
        assert ("How much of that is luck is not known" in recommendation_text(found)) == says


def test_what_is_missing_has_the_command_that_adds_it(tmp_path):
    ran(tmp_path, "fixed", [0.6, 0.61, None], strategies={"fixed": {}, "best-of": {}})
    folder = StudyFolder(tmp_path / "small")
    settings = {"inline": True, "cpus_per_trial": 2.0, "gpus_per_trial": 0.0, "teacher": "a b.pt"}
    folder.write_run({**folder.read_run(), "options": settings})
    [found] = recommend(tmp_path / "small")
    lines, frozen = missing_lines(found), folder.strategy("fixed").study_toml
    how = "--inline --cpus-per-trial 2 --teacher 'a b.pt'"
    assert f"Add it with: kdtune study {frozen} -s grid --out {tmp_path} {how}" in lines[0]
    assert any("-s none " in line for line in lines)
    control = "strategies.best-of-fixed"
    defined = f"--set {control}.strategy=best-of --set {control}.of=fixed --out {tmp_path}"
    assert any("restarts of fixed, which" in line and f"-s best-of-fixed {defined}" in line for line in lines)
    assert f"Missing: the rest of fixed, which is incomplete. Add it with: kdtune resume {tmp_path}/small" in lines
    more = f"kdtune study {frozen} -s fixed --repeats 6 --out {tmp_path}-6-repeats {how}"
    [repeats] = [line for line in lines if "repeats" in line]
    assert "an exact test of 3 cannot be significant" in repeats and repeats.endswith(more)
    assert any("energy" in line for line in lines)
    assert "This rests on 2 of 3 repeats" in recommendation_text(found)


def test_the_commands_define_a_control_as_the_study_reads_it(tmp_path):
    ran(tmp_path, "fixed-3", [0.6], strategies={"fixed-3": {"strategy": "fixed", "tau": 3}})
    frozen = StudyFolder(tmp_path / "small").strategy("fixed-3")
    [label], options = control_options(frozen.read_study(), "fixed-3")
    defined = load_study(frozen.study_toml, overrides=options[1::2])
    assert restarts_training(defined, label, "fixed-3")
    assert control_options(defined, "fixed-3") == ([label], [])


def test_a_control_that_a_later_command_defined_is_known_as_one(tmp_path):
    """Its label is only in its own frozen study; commands for the first one have to define it."""
    folder = study(tmp_path, grid=GAIN, none=LOSS)
    tables = {"best-of-fixed": {"strategy": "best-of", "of": "fixed", "tau": 4}}
    accuracies = [base + one for base, one in zip(BASE, NOISE, strict=True)]
    ran(tmp_path, "best-of-fixed", accuracies, points=TWO, trial_s=SECONDS, strategies={**STRATEGIES, **tables})
    [found] = recommend([folder / name for name in ("fixed", "grid", "best-of-fixed", "none")])
    assert found.control.strategy == "best-of-fixed" and found.search.strategy == "grid"
    assert not any("restarts of" in one.what for one in found.missing)
    command = command_for(StudyFolder(folder).strategy("grid"), ["best-of-fixed"])
    words = shlex.split(command)
    defined = load_study(words[2], overrides=[words[at + 1] for at, word in enumerate(words) if word == "--set"])
    assert defined.strategies["best-of-fixed"] == tables["best-of-fixed"]


def test_commands_define_labels_as_they_ran(tmp_path):
    study(tmp_path, grid=GAIN)
    folder = ran(tmp_path, "best-of", BASE, strategies={**STRATEGIES, "best-of": {"of": "fixed", "tau": 8}})
    grid = folder.study.strategy("grid")
    assert "--set strategies.best-of.tau=8" in command_for(grid, ["best-of"])  # the study of the grid lists tau 4
    assert "--set" not in command_for(folder, ["best-of"]) + command_for(grid, ["fixed"])
    table = {"taus": [2, 4], "more": {"name": "a b"}}
    assert definition("x", table) == ["--set", "strategies.x.taus=[2, 4]", "--set", "strategies.x.more.name=a b"]


def test_what_has_not_begun_is_resumed_and_no_repeats_are_asked_for_before_anything_is_tested(tmp_path):
    ran(tmp_path, "grid", [None] * 3, points=TWO, trial_s=SECONDS)
    folder = StudyFolder(tmp_path / "small")
    folder.write_run({**folder.read_run(), "strategies": ["grid", "fixed", "none"]})
    [found] = recommend(tmp_path / "small")
    lines = missing_lines(found)
    assert f"Missing: fixed, none: not begun. Add it with: kdtune resume {folder.path}" in lines
    assert "the rest of grid" in lines[0] and not any("kdtune study" in line for line in lines)


def test_open_comparisons_ask_for_one_number_of_repeats(tmp_path):
    [found] = recommend(study(tmp_path, grid=NOISE, best_of=NOISE, none=LOSS))
    assert "repeats)" not in recommendation_text(found) and "(open)" in recommendation_text(found)
    [line] = [line for line in missing_lines(found) if "repeats" in line]
    number = found.search_gain.repeats_to_settle
    assert f"6 leave it open; {number} would settle it" in line and f"--repeats {number} " in line


def test_the_control_restarts_the_training_that_is_compared(tmp_path):
    """A better control of another training says nothing about the luck of this one."""
    kinds = {"best-of": {"of": "fixed", "tau": 4}, "others": {"strategy": "best-of", "of": "stochastic"}}
    for name, gain in {"fixed": 0.0, "best-of": 0.01, "others": 0.05}.items():
        val = [[0.5 + gain]] * 6
        ran(tmp_path, name, [one + gain for one in BASE], val=val, strategies={"fixed": {}, **kinds})
    [found] = recommend(tmp_path / "small")
    assert found.control.strategy == "best-of" and not any("restarts" in one.what for one in found.missing)
    shutil.rmtree(tmp_path / "small" / "best-of")
    [found] = recommend(tmp_path / "small")
    [control] = [one for one in found.missing if "others restarts another training" in one.what]
    assert "-s best-of --out" in control.command


def test_nothing_is_advised_if_no_model_is_better_than_chance(tmp_path):
    for name in ("fixed", "none"):
        ran(tmp_path, name, [0.1, 0.11, 0.09], strategies=STRATEGIES)
    [found] = recommend(tmp_path / "small")
    assert found.at_chance and (found.advice, found.use, found.missing) == ("open", None, ())
    assert "no model is better than always predicting the most frequent class" in recommendation_text(found)


def test_without_a_tested_model_there_is_no_answer(tmp_path):
    ran(tmp_path, "fixed", [None])
    [found] = recommend(tmp_path / "small")
    assert (found.advice, found.use) == ("open", None) and "no strategy has a tested model" in recommendation_text(
        found
    )


def test_the_command_prints_the_text_or_one_json_document(tmp_path):
    folder = study(tmp_path / "results", grid=GAIN, best_of=LITTLE, none=LOSS)
    done = here("recommend", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("small: A search is worth it: use grid (tau 2).")
    done = here("recommend", str(folder), "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    [one] = document["recommendations"]
    assert (document["schema_version"], one["advice"], one["search"]["trials"]) == (1, "search", 2)
    assert one["search_gain"]["difference"]["n"] == 6 and one["text"] in done.stderr
    assert here("recommend", "elsewhere", cwd=tmp_path).returncode == 2


def test_a_restart_is_no_part_of_a_choice(tmp_path):
    """Every repeat chose tau 4, in different restarts."""
    points = [{"tau": 4}, {"tau": 4, "restart": 1}]
    val = [[0.5, 0.6], [0.6, 0.5]]
    ran(tmp_path, "best-of", [0.9, 0.9], points=points, val=val, strategies=STRATEGIES)
    folder = StudyFolder(tmp_path / "small")
    study = read_study(folder, folder.strategies())
    assert "best-of (tau 4)" in recommendation_text(study.recommendation)
    assert "Tau: 4." in model_card(study)
    assert chosen_points(study.strategies[0].result) == "4"
    assert cost_overview(study, {"best-of": Series("best-of", 0)}).rows[0][-1].text == "4"
