"""Identities depend on what results depend on, and on nothing else."""

import shutil

import pytest

from kdtune.artifacts.compiled_code import CodeDependencies
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.loading import not_installed
from kdtune.specs.study_differences import differences
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.teacher_identity import teacher_key
from kdtune.training.resolution import resolved_trial
from tests.installed import install, package_site
from tests.studies import small_study

TAU = """
from kdtune.specs.frozen_model import FrozenModel
from kdtune.temperature.base import TemperaturePolicy


class Cool(TemperaturePolicy):
    Options = FrozenModel
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "photos").mkdir(parents=True)
    (folder / "nets.py").write_text("def tiny(num_classes, in_channels, width=2):\n    return None\n")
    (folder / "losses.py").write_text("def gap(student, teacher, labels, temperature, alpha):\n    return None\n")
    (folder / "tau.py").write_text(TAU)
    return folder


def identities(folder, photos="photos", nets="nets", width=3, **changes):
    """What identifies the trial, the teacher and the compiled code of a study of the files in a folder."""
    network = {"ref": f"{folder}/{nets}.py:tiny", "width": width}
    table = small_study(
        dataset=f"folder:{folder}/{photos}", teacher=network, student=network, loss=f"{folder}/losses.py:gap", **changes
    )
    study = load_study(table).with_data_info(DataInfo(classes=2, shape=(1, 8, 8), train_images=500, test_images=10))
    trial = resolved_trial(study, Suggestion(temperature=Component(name=f"{folder}/tau.py:Cool")), 0)
    code = CodeDependencies(study.student, study.teacher, (1, 8, 8), 2, 32, study.numerics, 1, "a CPU", "2.11")
    return study, (trial.identity, teacher_key(study, 1), code.compilation.folder.name, study.dataset.slug)


def test_identities_depend_on_content_and_not_on_its_place(checkout, tmp_path):
    study, before = identities(checkout)
    assert study.student.name == f"{checkout}/nets.py:tiny"  # the frozen study still finds its files
    shutil.copytree(checkout, tmp_path / "again")
    (tmp_path / "again" / "photos").rename(tmp_path / "again" / "pictures")
    copied, after = identities(tmp_path / "again", photos="pictures")
    assert after == before
    assert differences(study, copied) == []
    assert copied.dataset.name == f"folder:{tmp_path}/again/pictures"


@pytest.mark.parametrize("change", ["another name", "another content", "another option", "another folder's content"])
def test_what_results_depend_on_changes_identities(checkout, change):
    study, before = identities(checkout)
    if change == "another name":
        (checkout / "nets.py").rename(checkout / "networks.py")
        other, after = identities(checkout, nets="networks")
    elif change == "another content":
        (checkout / "nets.py").write_text((checkout / "nets.py").read_text() + "# edited\n")
        other, after = identities(checkout)
    elif change == "another option":
        other, after = identities(checkout, width=4)
    else:
        info = study.dataset_info.model_copy(update={"fingerprint": "0123456789ab"})
        other = study.with_data_info(info)
        trial = resolved_trial(other, Suggestion(temperature=Component(name=f"{checkout}/tau.py:Cool")), 0)
        after = trial.identity, teacher_key(other, 1, fingerprint=info.fingerprint), "", ""
    assert all(now != then for now, then in zip(after[:3], before[:3], strict=True))
    assert differences(study, other) != []


def test_where_the_images_lie_in_memory_is_not_part_of_any_identity(checkout):
    study, before = identities(checkout)
    for data in ({"resident": False}, {"train_limit": 100, "resident": False}):
        other, after = identities(checkout, data=data)
        limited = "train_limit" in data
        assert (after == before) is not limited
        assert other.model_dump(mode="json", exclude_none=True)["data"] == data  # what runs is still recorded
        assert differences(study, other) == (["data.train_limit (none there, 100 now)"] if limited else [])


def test_models_of_a_hub_with_the_same_name_are_different():
    one, other = (Component(name=f"timm:hf-hub:{who}/net", digest="timm==1.0") for who in ("ada", "ben"))
    assert one.name_without_folder != other.name_without_folder


def test_another_version_of_an_imported_package_makes_everything_anew_and_is_named(checkout, tmp_path, monkeypatch):
    site = package_site(tmp_path, monkeypatch)
    (checkout / "nets.py").write_text("import fruit_lib\n\ndef tiny(num_classes, in_channels, width=2):\n    pass\n")
    install(site, "1.0")
    study, before = identities(checkout)
    install(site, "1.1")
    other, after = identities(checkout)
    assert all(now != then for now, then in zip(after[:3], before[:3], strict=True))
    changed = [fault for fault in not_installed(study, "run.toml") if fault.key == "student"]
    assert [fault.problem for fault in changed] == [
        "nets.py:tiny(width=3) uses other versions of packages: fruitlib 1.0 when the study began, 1.1 now; install "
        "the earlier version, or begin the study anew with 'kdtune study --fresh'"
    ]
    assert load_study(study.model_dump(mode="json", exclude_none=True), has_run=True) == study
