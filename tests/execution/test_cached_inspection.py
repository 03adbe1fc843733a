import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.execution.cached_inspection import CachedInspection, StudyFacts
from kdtune.execution.inspection_job import inspect_study
from kdtune.forecast.strategy_estimate import TimeAndEnergy, Timings, WorkUsage
from kdtune.planning.resources import Resources
from kdtune.specs import load_study
from tests.damage import damaged
from tests.energy.simulated import two_cores
from tests.studies import small_study

RESOURCES = Resources(1.0, 0.0)
TIMINGS = Timings({"distilling": WorkUsage(1e-4, 1e-4, None)}, {"distilling": 32}, 0.0, None)


def place(tmp_path, kinds=("distilling",), **changes):
    return CachedInspection(load_study(small_study(**changes)), RESOURCES, tmp_path, [], kinds)


@pytest.fixture(scope="module")
def inspection():
    return inspect_study(load_study(small_study(teacher_logits="live")), RESOURCES, "nowhere")


@pytest.fixture
def known(inspection, tmp_path, monkeypatch):
    """Inspection of a study whose teacher is cached."""
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    teacher = tmp_path / "cache" / "teachers" / "t"
    teacher.mkdir(parents=True)
    (teacher / "teacher.pt").write_bytes(b"weights")
    record = {"model": "t", "epochs": 3, "val_accuracy": 0.9, "val_loss": 0.3, "test": {"accuracy": 0.9}, "given": None}
    (teacher / "record.json").write_text(json.dumps(record))
    found = dataclasses.replace(
        inspection, teacher_folder=str(teacher), missing_teachers=0, timings=TIMINGS, energy_multiple=1.2345
    )
    return StudyFacts(found, two_cores(), TimeAndEnergy(3.0, 60e6, 60e6))


def test_a_cached_inspection_is_read_back_unchanged(known, tmp_path):
    place(tmp_path).keep(known)
    assert place(tmp_path).read() == known


def test_the_name_of_a_study_does_not_change_its_entry_and_relevant_settings_do(known, tmp_path):
    place(tmp_path).keep(known)
    assert place(tmp_path, name="another", description="in other words").read() == known
    for different in (
        place(tmp_path, seed=3),
        place(tmp_path, student="convnet_4_8_16"),
        place(tmp_path, kinds=()),
        place(tmp_path / "elsewhere"),
        CachedInspection(load_study(small_study()), Resources(2.0, 0.0), tmp_path, [], ("distilling",)),
        CachedInspection(load_study(small_study()), RESOURCES, tmp_path, ["GPU-1"], ("distilling",)),
    ):
        assert different.read() is None


def test_with_remarks_or_missing_artifacts_a_worker_inspects_again(known, tmp_path):
    kept = place(tmp_path)
    kept.keep(dataclasses.replace(known, inspection=dataclasses.replace(known.inspection, remarks=("look",))))
    assert kept.read() is None
    kept.keep(known)
    (Path(known.inspection.teacher_folder) / "record.json").unlink()
    assert kept.read() is None


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\x00\xff", b'{"inspection": 3}'])
def test_a_damaged_entry_is_ignored(known, tmp_path, content):
    kept = place(tmp_path)
    kept.keep(known)
    kept._path.write_bytes(content)
    assert kept.read() is None


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_file_is_read_unchanged_or_ignored(known, tmp_path, data):
    kept = place(tmp_path)
    kept.keep(known)
    kept._path.write_bytes(data.draw(damaged(kept._path.read_bytes())))
    assert kept.read() in (known, None)


@pytest.mark.parametrize(
    "folder", ["/etc", "{cache}/teachers/..", "{cache}/teachers/../../x", "{cache}/decoded/x", "t"]
)
def test_a_path_outside_the_cache_is_refused(known, tmp_path, folder):
    named = folder.format(cache=tmp_path / "cache")
    place(tmp_path).keep(
        dataclasses.replace(known, inspection=dataclasses.replace(known.inspection, teacher_folder=named))
    )
    assert place(tmp_path).read() is None


def test_code_outside_the_cache_is_refused(known, tmp_path):
    for place_of_code, believed in ((tmp_path / "cache" / "compilations" / "c", True), (tmp_path / "c", False)):
        found = dataclasses.replace(known.inspection, compilations={False: str(place_of_code)})
        place(tmp_path).keep(dataclasses.replace(known, inspection=found))
        assert bool(place(tmp_path).read()) == believed


def test_a_cache_that_cannot_be_written_is_ignored(known, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "file"))
    place(tmp_path).keep(known)
    assert place(tmp_path).read() is None
