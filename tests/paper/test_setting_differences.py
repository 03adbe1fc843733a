from pathlib import Path

import pytest

from kdtune.energy.flops import Workload
from kdtune.paper.printed_values import TEACHER
from kdtune.paper.setting_differences import departures, other_options, protocol
from kdtune.paper.study_runs import StrategyRun
from kdtune.results.folder import StrategyFolder
from kdtune.specs import load_study
from tests.results.several import CIFAR100_HKD, ran
from tests.studies import here, small_study

STRATEGIES = {
    "fixed": {},
    "hot": {"strategy": "fixed", "tau": 20},
    "lucky": {"strategy": "best-of", "of": "fixed", "tau": 7},
    "epochs": {"strategy": "single", "temperature": "stochastic", "draw": "epoch"},
    "alone": {"strategy": "none"},
}


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("fixed", None),
        ("hot", "hot with tau 20 instead of 4"),
        ("lucky", "lucky with of fixed instead of stochastic, tau 7 instead of 4"),
        ("epochs", "epochs with draw epoch instead of batch, temperature stochastic"),
        ("alone", None),
    ],
)
def test_options_that_differ_from_the_defaults_are_shown(label, told):
    found = other_options(load_study(small_study(strategies=STRATEGIES)), label)
    assert (found and sorted(found.replace(" with ", ", ").split(", "))) == (
        told and sorted(told.replace(" with ", ", ").split(", "))
    )


def test_options_of_components_that_are_not_installed_are_shown_unchanged():
    study = load_study(small_study())
    strategies = {"far": {"strategy": "annealing", "steps": 9}, "cool": {"strategy": "single", "temperature": "x"}}
    study = study.model_copy(update={"strategies": strategies})
    assert other_options(study, "far") == "far with steps 9"
    assert other_options(study, "cool") == "cool with temperature x"


@pytest.mark.parametrize(("label", "has_teacher"), [("fixed", True), ("hot", True), ("alone", False)])
def test_a_label_of_the_students_own_training_departs_in_nothing_of_the_teacher(label, has_teacher):
    study = load_study(small_study(strategies=STRATEGIES, alpha=0.5, teacher_logits="replay"))
    workload = Workload(10, 3, 100, 50, 20)
    run = StrategyRun(StrategyFolder(Path(label)), study, {}, workload, None)
    assert any("alpha" in text for text in departures(run, label)) == has_teacher
    assert any("teacher" in text for text in protocol(run, label)) == has_teacher


def test_objective_class_weights_and_normalisation_are_departures():
    weighted = {"class_weights": "balanced"}
    changes = {
        "objective": "f1",
        "training": {**small_study()["training"], **weighted},
        "teacher_training": {**small_study()["teacher_training"], **weighted},
        "data": {"mean": [0.5], "std": [0.25]},
    }
    objective, student = "objective f1 instead of accuracy", "class_weights balanced instead of none"
    teacher = "class_weights of the teacher balanced instead of none"
    images = "images normalised by mean 0.5 and std 0.25 instead of those of the training images"

    def named(label, *keys):
        study = load_study(small_study(strategies=STRATEGIES, **{key: changes[key] for key in keys}))
        run = StrategyRun(StrategyFolder(Path(label)), study, {}, Workload(10, 3, 100, 50, 20), None)
        protocol(run, label)  # describes the recipe without the weights
        return {text for text in departures(run, label) if text in (objective, student, teacher, images)}

    assert named("fixed") == set()
    assert named("fixed", *changes) == {objective, student, teacher, images}
    assert named("alone", *changes) == {objective, student, images}
    assert named(TEACHER, *changes) == {teacher, images}
    assert named("alone", "data") == {images}


def _leaving_a_mark(folder):
    """Write a component whose import leaves a file, and return a reference to it and the path of that file."""
    marker = folder / "imported"
    source = "from pathlib import Path\nfrom kdtune.temperature.fixed import FixedTemperature as Own\n"
    (folder / "own.py").write_text(f"{source}Path({str(marker)!r}).touch()\n")
    return f"{folder / 'own.py'}:Own", marker


@pytest.mark.parametrize("resolved", [True, False], ids=["as kdtune writes it", "without [resolved]"])
@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "single", "temperature": "OWN"},
        {"strategy": "best-of", "of": "single", "temperature": "OWN"},
        {"strategy": "OWN"},
    ],
    ids=["single", "best-of", "strategy"],
)
def test_nothing_that_a_results_folder_names_is_imported_when_it_is_read(tmp_path, options, resolved):
    own, marker = _leaving_a_mark(tmp_path)
    options = {key: value.replace("OWN", own) for key, value in options.items()}
    for strategy, accuracies in {"grid": [0.6, 0.7], "stochastic": [0.6, 0.7]}.items():
        folder = ran(tmp_path / "results", strategy, accuracies, trial_s=[1, 1], **CIFAR100_HKD)
        strategies = {"grid": {}, "stochastic": options, "own": options}
        study = folder.read_study().model_copy(update={"strategies": strategies})
        folder.write_study(study, folder.resolved())
        if not resolved:
            folder.study_toml.write_text(folder.study_toml.read_text().partition("[resolved]")[0])
    for command in (["claims"], ["compare", "--paper"], ["compare"], ["list", "runs"], ["inference"]):
        places = [] if command == ["list", "runs"] else ["results/cifar100-hkd"]
        done = here(*command, *places, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        assert not marker.exists(), command
    if "temperature" in options:
        assert f"temperature {own}" in other_options(study, "stochastic")
