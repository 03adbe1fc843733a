"""A worker's trainable, without Ray around it."""

import torch

import kdtune
from tests.studies import small_study


def test_a_worker_warms_up_once_for_every_setting_that_it_takes_on_and_with_the_trials_own_seed(tmp_path, monkeypatch):
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
        # The teacher was asked for the trial's repeat alone, and not for another one to warm up with.
        assert len(list((tmp_path / "teacher-logits").iterdir())) == 1
        trained.clear()
        worker.reset_config({"study": study, "tau": 6, "seed": 7})
        assert not trained
        worker.reset_config({"study": {**study, "training": {**training, "batch_size": 32}}, "tau": 6, "seed": 7})
        assert trained
    finally:
        hook.remove()


def test_what_a_scheduler_copies_from_another_trial_keeps_the_hyperparameters_that_were_asked_for(tmp_path):
    study = small_study(training={"epochs": 3, "batch_size": 64, "learning_rate": 0.05})
    donor = kdtune.DistillTrainable({"study": study, "loss": "ce", "weight_decay": 0.0073, "learning_rate": 0.01})
    assert donor.step()["learning_rate"] == 0.01
    donor.save_checkpoint(str(tmp_path))
    worker = kdtune.DistillTrainable({"study": study, "loss": "ce"})
    # As population-based training does it with an actor that is used again.
    worker.reset_config({"study": study, "loss": "ce", "weight_decay": 0.0616, "learning_rate": 0.02})
    worker.load_checkpoint(str(tmp_path))
    report = worker.step()
    assert (report["epoch"], report["learning_rate"]) == (2, 0.02)
    assert worker._distiller._optimizer.param_groups[0]["weight_decay"] == 0.0616
