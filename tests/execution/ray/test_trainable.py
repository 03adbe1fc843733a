"""The trainable of a worker, without Ray."""

import threading

import pytest
import torch

import kdtune
from kdtune.errors import DivergedError
from kdtune.results.epoch_log import append_epochs, read_epochs, superseded
from kdtune.results.trial import Trial
from kdtune.training import checkpoints
from tests.studies import small_study


def test_a_worker_warms_up_once_per_setting_with_the_seed_of_the_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    training = {"epochs": 2, "batch_size": 64, "learning_rate": 0.05, "augment": ["crop"]}
    study = small_study(seed=7, repeats=1, teacher_logits="replay", training=training)
    trained = []
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda model, given: trained.append(model) if model.training else None
    )
    try:
        worker = kdtune.DistillTrainable({"study": study, "tau": 2, "seed": 7})
        assert trained
        # The logits were read only for the repeat of the trial, also by the warm-up.
        assert len(list((tmp_path / "teacher-logits").iterdir())) == 1
        trained.clear()
        worker.reset_config({"study": study, "tau": 6, "seed": 7})
        assert not trained
        worker.reset_config({"study": {**study, "training": {**training, "batch_size": 32}}, "tau": 6, "seed": 7})
        assert trained
    finally:
        hook.remove()


def test_a_trial_copied_by_a_scheduler_keeps_its_own_hyperparameters(tmp_path):
    study = small_study(training={"epochs": 3, "batch_size": 64, "learning_rate": 0.05})
    donor = kdtune.DistillTrainable({"study": study, "loss": "ce", "weight_decay": 0.0073, "learning_rate": 0.01})
    assert donor.step()["learning_rate"] == 0.01
    donor.save_checkpoint(str(tmp_path))
    worker = kdtune.DistillTrainable({"study": study, "loss": "ce"})
    # This is what population-based training does with a reused actor.
    worker.reset_config({"study": study, "loss": "ce", "weight_decay": 0.0616, "learning_rate": 0.02})
    worker.load_checkpoint(str(tmp_path))
    report = worker.step()
    assert (report["epoch"], report["learning_rate"]) == (2, 0.02)
    assert worker._training.distiller._optimizer.param_groups[0]["weight_decay"] == 0.0616


def test_a_checkpoint_has_only_the_part_of_a_tensor_that_belongs_to_the_state(tmp_path, monkeypatch):
    worker = kdtune.DistillTrainable({"study": small_study(), "loss": "ce"})
    state, images = worker._training.distiller.state_dict(), torch.zeros(1_000_000)
    monkeypatch.setattr(worker._training.distiller, "state_dict", lambda: {**state, "images": images[:10]})
    worker.save_checkpoint(str(tmp_path))
    worker.stop()
    [file] = tmp_path.iterdir()
    assert file.stat().st_size < 1_000_000


def test_without_a_ledger_energy_is_unknown_and_not_zero():
    worker = kdtune.DistillTrainable({"study": small_study(), "loss": "ce"})
    assert worker.train()["energy_j"] is None
    worker.stop()


def weights(worker):
    return [value.clone() for value in worker._training.distiller.model.state_dict().values()]


@pytest.mark.parametrize("killed_in", [2, 3, 4])
def test_a_kill_between_checkpoint_and_report_changes_no_result_and_counts_no_epoch_twice(
    tmp_path, monkeypatch, killed_in
):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    study = small_study(training={"epochs": 4, "batch_size": 64, "learning_rate": 0.05})

    def worker(attempt):
        run = {"checkpoints": str(tmp_path / attempt)}
        return kdtune.DistillTrainable({"study": study, "temperature": "stochastic", "run": run})

    undisturbed = worker("undisturbed")
    expected = [undisturbed.step() for _ in range(4)]
    trial, log = Trial("one", 0, 0, 0, {}, attempts=1), tmp_path / "epochs.jsonl"

    def take(step):
        append_epochs(log, trial, [{**step, "energy_uj": None}])

    killed = worker("killed")
    for _ in range(killed_in - 1):
        take(killed.step())
    killed.step()  # its report is lost
    killed._training.close("killed")  # the checkpoint thread may or may not have finished
    checkpoints = sorted((tmp_path / "killed").iterdir())
    assert checkpoints and len(checkpoints) <= 2
    trial.attempts = 2
    resumed = worker("killed")
    done, last = resumed._training.distiller.epoch, {}
    while not last.get("done"):
        take(last := resumed.step())
    assert done <= killed_in
    assert all(torch.equal(*pair) for pair in zip(weights(resumed), weights(undisturbed), strict=True))
    lines = read_epochs(log)
    counted = [line for line, again in zip(lines, superseded(lines), strict=True) if not again]
    assert len({line.epoch for line in counted}) == len(counted)
    for line in lines:  # including epochs that were trained twice
        wanted = expected[line.epoch - 1]
        assert {
            key: getattr(line, key) for key in ("train_loss", "val_loss", "val_accuracy", "tau", "learning_rate")
        } == {key: wanted[key] for key in ("train_loss", "val_loss", "val_accuracy", "tau", "learning_rate")}
    assert counted[-1].epoch == 4


def test_a_worker_leaves_no_thread_after_a_trial_or_a_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    study = small_study(training={"epochs": 3, "batch_size": 64, "learning_rate": 0.05})

    def config(name, **changes):
        return {"study": study, "loss": "ce", "run": {"checkpoints": str(tmp_path / name)}, **changes}

    def threads():
        return [one for one in threading.enumerate() if one.name.startswith("kdtune-")]

    worker = kdtune.DistillTrainable(config("first"))
    for _ in range(2):
        worker.step()
    assert len(threads()) == 1
    worker.reset_config(config("second", learning_rate=1e30))
    assert not threads()
    with pytest.raises(DivergedError):
        worker.step()
    assert not threads()
    worker.reset_config(config("third"))
    for _ in range(2):
        worker.step()
    worker.cleanup()
    assert not threads()
    assert len(list((tmp_path / "third").iterdir())) == 1


def test_a_checkpoint_holds_only_epochs_whose_reports_were_processed(tmp_path, monkeypatch):
    """A kill therefore leaves no epoch without a line in the log, however many epochs a report has."""
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "LONGEST_S", 0.0)
    study = small_study(training={"epochs": 400, "batch_size": 64, "learning_rate": 0.05})
    run = {"checkpoints": str(tmp_path / "kept"), "slice_s": 0.05}
    worker = kdtune.DistillTrainable({"study": study, "loss": "ce", "run": run})
    reported = 0
    for _ in range(3):
        report = worker.step()
        worker._training._checkpoints._wait()
        kept = checkpoints.CheckpointFolder(tmp_path / "kept").load_latest()
        assert (kept["epoch"] if kept else 0) == reported
        assert [one["epoch"] for one in report["epochs"]] == list(range(reported + 1, report["epoch"] + 1))
        reported = report["epoch"]
    worker.cleanup()
