"""Studies in this process."""

import json
import shutil
from dataclasses import replace

import pytest

import kdtune
from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import MachineError
from kdtune.results.documents import read_object
from kdtune.results.folder import StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import Watcher
from kdtune.strategies.grid import Grid
from tests.studies import outcome_of, small_study

pytestmark = pytest.mark.study

#: Of few steps, since what the trainings come to does not matter.
TRAINING = {**small_study()["training"], "batch_size": 100}


def quick_study(**changes):
    return small_study(**{"training": TRAINING, "teacher_training": TRAINING, **changes})


def test_failed_trials_are_recorded_and_charged_and_the_study_continues(tmp_path):
    space = {"tau": {"values": [4]}, "learning_rate": {"values": [0.05, 1e30]}}
    study = quick_study(search_space=space, strategies={"fixed": {}, "grid": {}}, repeats=1)
    study["training"] = {**study["training"], "learning_rate": 1e30}
    outcome = kdtune.run_study(study, out=tmp_path, inline=True)
    assert outcome.exit_code == 1
    fixed, grid = outcome.results
    # Every trial of the first strategy failed; the other strategy still runs.
    assert fixed["status"] == "incomplete"
    assert fixed["summary"]["test_accuracy_mean"] is None
    assert grid["status"] == "completed"
    assert grid["cost"]["trials"] == {"completed": 1, "pruned": 0, "failed": 1, "interrupted": 0}
    assert grid["repeats"][0]["chosen"] == {"tau": 4, "learning_rate": 0.05}
    assert "DivergedError" in grid["failures"][0]["error"] and "epoch 1" in grid["failures"][0]["error"]
    log = TrialLog.read(tmp_path / "small" / "grid" / "trials.jsonl")
    failed = next(trial for trial in log.trials.values() if trial.status == "failed")
    ledger = (tmp_path / "small" / "grid" / "ledger").glob("*.jsonl")
    assert any(f'"{failed.window(1)}"' in path.read_text() for path in ledger)


class Blocking(Watcher):
    """Puts a folder where the results are written at the end of a study."""

    def __init__(self, file):
        self._file = file

    def ended(self):
        self._file.unlink(missing_ok=True)
        self._file.mkdir()


def test_results_that_cannot_be_written_at_the_end_are_named_and_written_by_a_resume(tmp_path):
    file = tmp_path / "small" / "none" / "result.json"
    study = quick_study(strategies={"none": {}}, repeats=1)
    with pytest.raises(MachineError, match=r"result\.json: cannot be written \(Is a directory\); free space there"):
        kdtune.run_study(study, out=tmp_path, inline=True, watcher=Blocking(file))
    file.rmdir()
    resumed = kdtune.resume_study(tmp_path / "small")
    assert resumed.exit_code == 0 and read_object(file)["repeats"] == resumed.results[0]["repeats"]
    assert resumed.results[0]["cost"]["trials"]["completed"] == 1


class Losing(Watcher):
    """Deletes the checkpoints of a trial that has ended, and keeps the messages."""

    def __init__(self, folder):
        self._folder = folder
        self.told = []

    def trial_ended(self, trial):
        shutil.rmtree(self._folder / "checkpoints" / trial.id)

    def message(self, text):
        self.told.append(text)


def test_a_chosen_model_without_a_checkpoint_is_named_and_trained_again_by_a_resume(tmp_path):
    study = small_study(strategies={"none": {}}, repeats=1)
    losing = Losing(tmp_path / "small" / "none")
    first = kdtune.run_study(study, out=tmp_path, inline=True, watcher=losing)
    (trial,) = TrialLog.read(tmp_path / "small" / "none" / "trials.jsonl").trials.values()
    assert first.exit_code == 1 and first.results[0]["status"] == "incomplete"
    assert losing.told[-1] == f"trial {trial.id}: its last checkpoint is lost; resume the study to continue it"
    resumed = kdtune.resume_study(tmp_path / "small")
    undisturbed = kdtune.run_study(study, out=tmp_path / "undisturbed", inline=True)
    assert resumed.exit_code == 0
    assert [outcome_of(one) for one in resumed.results] == [outcome_of(one) for one in undisturbed.results]


class Pruner(Grid):
    """A grid that stops tau 6 after its first epoch."""

    judges_epochs = True

    def report(self, suggestion, epoch, score):
        return suggestion.values["tau"] != 6


def test_a_trial_that_its_strategy_stops_early_is_charged(tmp_path, monkeypatch):
    monkeypatch.setitem(STRATEGIES._built_in, "grid", replace(STRATEGIES["grid"], import_it=lambda: Pruner))
    result = kdtune.run_study(quick_study(strategies={"grid": {}}, repeats=1), out=tmp_path, inline=True).results[0]
    assert result["status"] == "completed"
    assert result["cost"]["trials"] == {"completed": 2, "pruned": 1, "failed": 0, "interrupted": 0}
    trials = kdtune.load_results(tmp_path / "small").trials.set_index("tau")
    assert (trials.loc[6, "status"], trials.loc[6, "epochs"]) == ("pruned", 1)
    assert trials.loc[6, "energy_j"] > 0
    assert trials.energy_j.sum() * 1e6 == pytest.approx(result["cost"]["energy_uj"]["trials"])


class _Listening(Watcher):
    def __init__(self):
        self.ended_trials, self.epochs, self.energies = [], [], []

    def trial_ended(self, trial):
        self.ended_trials.append(trial.id)

    def epoch_done(self, trial, epochs, metrics):
        self.epochs.append((trial.id, metrics["epoch"]))

    def energy(self, by_window, charged_uj):
        self.energies.append(charged_uj)


def augmented_study():
    """A study whose teacher classifies the images again in every epoch."""
    study = quick_study(strategies={"grid": {}}, repeats=1, seed=7)
    return {**study, "training": {**study["training"], "augment": ["crop"]}}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A finished study and its watcher."""
    watcher = _Listening()
    return kdtune.run_study(
        augmented_study(), out=tmp_path_factory.mktemp("watched"), watcher=watcher, inline=True
    ), watcher


def test_a_watcher_receives_every_trial_and_energy(watched):
    watcher = watched[1]
    assert len(watcher.ended_trials) == 3
    assert {epoch for _, epoch in watcher.epochs} >= {3}
    assert watcher.energies and watcher.energies == sorted(watcher.energies)


def test_more_cores_than_the_machine_has_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(kdtune.KdtuneError, match="cpus_per_trial 4096"):
        kdtune.run_study(quick_study(), out=tmp_path, cpus_per_trial=4096, inline=True)
    assert not (tmp_path / "small").exists()


def test_partly_lost_logits_are_completed_and_all_their_energy_is_charged(watched, tmp_path, cache_folder, capfd):
    first = watched[0].results[0]
    (name,) = json.loads((watched[0].folder / "grid" / "shared.json").read_text())["teacher_logits"]
    filled = cache_folder / "teacher-logits" / name / "filled.jsonl"
    lines = filled.read_text().splitlines(keepends=True)
    assert len(lines) == 3
    filled.write_text("".join(lines[:2]))  # as after a kill: the rows of the last epoch may be invalid
    second = kdtune.run_study(augmented_study(), out=tmp_path, inline=True).results[0]
    assert capfd.readouterr().out == ""
    assert len(filled.read_text().splitlines()) == 3
    assert outcome_of(second) == outcome_of(first)
    asked = [result["cost"]["shared_uj"]["teacher_logits"] for result in (first, second)]
    assert 0 < asked[0] < asked[1]
    spent = json.loads((tmp_path / "small" / "grid" / "shared.json").read_text())["teacher_logits"][name]
    assert spent["passes"] == 3 * 400 and spent["energy"]["charged_uj"] == asked[1]
    # A user's pipeline may have filled the store without a meter, and may read it while it is made again.
    shutil.rmtree(filled.parent / "ledger")
    before = (filled.read_bytes(), (filled.parent / "logits.npy").stat().st_mtime_ns)
    third = kdtune.run_study(augmented_study(), out=tmp_path / "third", inline=True).results[0]
    assert outcome_of(third) == outcome_of(first) and third["cost"]["shared_uj"]["teacher_logits"] > 0
    assert (filled.read_bytes(), (filled.parent / "logits.npy").stat().st_mtime_ns) == before
    assert not (filled.parent / "again").exists()


def test_each_label_has_its_own_folder_results_and_epochs(tmp_path):
    hot, cold = ({"strategy": "fixed", "tau": tau} for tau in (9, 2))
    longer, again = {"strategy": "none", "longer": "flops"}, {"strategy": "best-of", "of": "fixed", "trials": 2}
    equal = {"strategy": "none", "longer": "energy"}
    # The smaller the teacher, the shorter are the trainings with the cost of a distillation.
    given = {"repeats": 1, "teacher": "convnet_4_8_16"}
    first = quick_study(**given, strategies={"hot": hot, "alone-longer": longer, "equal": equal})
    outcome = kdtune.run_study(first, ["hot", "alone-longer"], out=tmp_path, inline=True)
    assert outcome.exit_code == 0
    by_label = {result["strategy"]: result for result in outcome.results}
    assert list(by_label) == ["hot", "alone-longer"]
    assert by_label["hot"]["repeats"][0]["chosen"] == {"tau": 9}
    # An epoch of the student alone takes 3336 multiply-adds, three times for each of 400 training images and once for
    # each of 400 other images; an epoch with the teacher takes 12576 more for each training image.
    factor = by_label["alone-longer"]["repeats"][0]["chosen"]["longer"]
    assert factor == pytest.approx((12576 + 4 * 3336) / (4 * 3336), abs=1e-4)
    trial = next(iter(TrialLog.read(tmp_path / "small" / "alone-longer" / "trials.jsonl").trials.values()))
    assert (trial.status, trial.epochs) == ("completed", round(3 * factor))
    assert by_label["alone-longer"]["cost"]["training_flops"] == 2 * 4 * 3336 * 400 * trial.epochs
    frozen = StudyFolder(tmp_path / "small").strategy("alone-longer").read_study()
    assert frozen.labelled("alone-longer") == ("none", {"longer": factor})

    # A study with other labels is added to the folder, and a resume runs all of them as they were begun. The length of
    # a training with the energy of a distillation depends only on the timings of the first command.
    multiple = StudyFolder(tmp_path / "small").strategy("hot").energy_multiple()
    assert multiple > 0 and frozen.labelled("equal") == ("none", {"longer": max(1.0, multiple)})
    second = quick_study(**given, strategies={"cold": cold, "again": again, "hot": {**hot, "tau": 7}, "equal": equal})
    kdtune.run_study(second, ["cold", "again", "equal"], out=tmp_path, inline=True)
    begun = StudyFolder(tmp_path / "small").strategy("equal")
    assert begun.energy_multiple() == multiple and begun.read_study().strategies["equal"] == frozen.strategies["equal"]
    resumed = kdtune.resume_study(tmp_path / "small")
    assert resumed.exit_code == 0
    assert {result["strategy"]: result["cost"]["trials"]["completed"] for result in resumed.results} == {
        "hot": 1, "alone-longer": 1, "cold": 1, "again": 2, "equal": 1
    }  # fmt: skip
    kept = {result["strategy"]: result["repeats"][0]["chosen"] for result in resumed.results}
    assert (kept["hot"], kept["cold"]) == ({"tau": 9}, {"tau": 2})
    compared = kdtune.compare([tmp_path / "small"])
    assert [result["strategy"] for result in compared.results] == ["hot", "alone-longer", "equal", "cold", "again"]


class Interrupting(Watcher):
    """Stops the study after its first epoch, and keeps its messages."""

    def __init__(self, *, stops):
        self.messages, self._stops = [], stops

    def message(self, text):
        self.messages.append(text)

    def epoch_done(self, *_):
        if self._stops:
            raise KeyboardInterrupt


def test_a_study_continues_on_another_machine_to_the_same_bits_or_says_what_differs(tmp_path):
    study = quick_study(repeats=1, strategies={"none": {}})
    undisturbed = kdtune.run_study(study, out=tmp_path / "undisturbed", inline=True)
    begun = kdtune.run_study(study, out=tmp_path / "here", inline=True, watcher=Interrupting(stops=True))
    assert begun.exit_code == 130
    ended = {}
    for other in ({}, {"cpu": "VAX 9000 (AVX2)"}):
        place = shutil.copytree(tmp_path / "here", tmp_path / f"there-{len(other)}") / "small"
        folder = StudyFolder(place).strategy("none")
        resolved = folder.resolved()
        folder.write_study(folder.read_study(), {**resolved, "versions": {**resolved["versions"], **other}})
        watcher = Interrupting(stops=False)
        ended[len(other)] = kdtune.resume_study(place, watcher=watcher)
        told = [text for text in watcher.messages if "bit-identical" in text]
        assert len(told) == len(other) and all("the CPU was VAX 9000 (AVX2) and is " in text for text in told)
    assert outcome_of(ended[0].results[0]) == outcome_of(undisturbed.results[0])
