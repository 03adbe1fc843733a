"""What an inspection says about given teachers, for a run and for its plan alike."""

import json

from kdtune.planning.inspection import Inspection
from kdtune.specs import load_study
from kdtune.specs.numerics import Numerics
from tests.results.finished import WORKLOAD
from tests.studies import small_study


def teacher(folder, val_accuracy, test_accuracy):
    folder.mkdir()
    record = {"model": "convnet_32", "epochs": None, "val_accuracy": val_accuracy, "val_loss": 1.0, "given": "0" * 16}
    (folder / "record.json").write_text(json.dumps({**record, "test": {"accuracy": test_accuracy, "loss": 1.0}}))
    return str(folder)


def inspection(first, **facts):
    settings = {"numerics": Numerics(), "teacher_logits": "live", "logit_stores": [], "compilations": {}}
    nothing = {"fingerprint": "", "versions": {}, "missing_teachers": 0, "remarks": ()}
    unknown = {"timings": None, "energy_multiple": None, "reduce_range": False}
    return Inspection(**{"workload": WORKLOAD, "teacher_folder": first, **settings, **nothing, **unknown, **facts})


def test_every_given_teacher_is_judged_on_the_images_of_its_own_validation(tmp_path):
    study = load_study(small_study(teacher_weights="0" * 16))
    good, guessing = teacher(tmp_path / "good", 0.9, 0.9), teacher(tmp_path / "guessing", 0.1, 0.1)
    assert inspection(good).chance_problem(study) is None
    assert inspection(str(tmp_path / "none yet")).chance_problem(study) is None
    assert "10.0% of 70 validation" in inspection(guessing).chance_problem(study)
    assert "10.0% of 70 validation" in inspection(good, repeat_teachers={0: good, 1: guessing}).chance_problem(study)
    # With synthetic images, those that are held out for students say nothing about the teacher.
    real = {**WORKLOAD, "val_images": 400}
    assert "10.0% of 420 validation" in inspection(guessing, teacher_workload=real).chance_problem(study)
