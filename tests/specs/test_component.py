import re

import numpy as np
import pytest

from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.component import Component, as_written, component_of
from tests.studies import small_study


@pytest.fixture
def nets(tmp_path):
    file = tmp_path / "nets.py"
    file.write_text("def tiny(num_classes, in_channels, width=2):\n    return None\n")
    return file


def study_file(folder, **changes):
    import tomli_w

    path = folder / "mine.toml"
    path.write_text(tomli_w.dumps({**small_study(), **changes}))
    return path


@pytest.mark.parametrize(
    ("name", "short", "slug"),
    [
        ("resnet18", "resnet18", "resnet18"),
        ("/home/me/nets.py:tiny", "nets.py:tiny", "nets-tiny"),
        ("my_package.nets:Tiny", "my_package.nets:Tiny", "my_package-nets-Tiny"),
        ("torchvision:resnet50", "torchvision:resnet50", "torchvision-resnet50"),
        ("folder:/data/my photos", "folder:my photos", "folder"),
        ("pickle:/cache/tiny-0123456789abcdef.pkl", "tiny", "tiny"),
    ],
)
def test_names_for_people_and_for_files(name, short, slug):
    component = Component(name=name)
    assert (str(component), component.slug) == (short, slug)


def test_options_are_shown():
    assert (
        str(Component(name="a/nets.py:tiny", options={"width": 2, "norm": "batch"}))
        == "nets.py:tiny(width=2, norm=batch)"
    )


@pytest.mark.parametrize(
    "value", ["resnet18", {"ref": "x.y:z", "width": 2}, {"ref": "x.y:z", "digest": "0123456789abcdef", "width": 2}]
)
def test_a_component_is_unchanged_after_writing_and_reading(value):
    assert as_written(component_of(value)) == value


def test_a_built_in_component_without_options_is_written_as_its_name():
    study = load_study(small_study(teacher={"ref": "convnet_32"}))
    assert study.model_dump(mode="json")["teacher"] == "convnet_32"


def test_a_file_is_found_relative_to_the_study_file_and_identified_by_its_source(nets, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    path = study_file(tmp_path, student={"ref": "./nets.py:tiny", "width": 3})
    student = load_study(path).student
    assert (student.name, student.options) == (f"{nets}:tiny", {"width": 3})
    assert len(student.digest) == 16
    nets.write_text(nets.read_text() + "# edited\n")
    assert load_study(path).student.digest != student.digest


def test_a_relative_path_of_set_refers_to_the_working_folder(nets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    path = study_file(tmp_path / "studies")
    assert load_study(path, overrides=["student=./nets.py:tiny"]).student.name == f"{nets}:tiny"


def test_a_file_that_a_strategy_names_is_found_relative_to_the_study_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "mine.py").write_text("from kdtune.strategies.fixed import Fixed\n\n\nclass Hot(Fixed):\n    pass\n")
    path = study_file(tmp_path, strategies={"hot": {"strategy": "./mine.py:Hot", "tau": 9}})
    assert load_study(path).labelled("hot") == (f"{tmp_path}/mine.py:Hot", {"tau": 9})


def test_a_frozen_study_is_read_without_the_file(nets, tmp_path):
    study = load_study(study_file(tmp_path, student="./nets.py:tiny"))
    table = study.model_dump(mode="json", exclude_none=True)
    nets.unlink()
    assert load_study(table, has_run=True) == study


def test_all_unknown_components_are_reported_at_once(tmp_path):
    path = study_file(tmp_path, student="./nets.py:tiny", teacher="convnet_33", loss="hkdd", dataset="folder:./photos")
    with pytest.raises(SpecError) as caught:
        load_study(path)
    said = str(caught.value)
    for part in (
        f"{path}: student: './nets.py:tiny': {tmp_path}/nets.py cannot be read (No such file or directory)",
        f"{path}: teacher: unknown model 'convnet_33'; did you mean 'convnet_32'?",
        f"{path}: loss: unknown loss 'hkdd'; did you mean 'hkd'?",
        f"{path}: dataset: {tmp_path}/photos: there is no such folder",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("value", "problem"),
    [({"width": 2}, "has no ref"), ({"ref": 3}, "has to be a name, a reference"), (3, "table with ref, got 3")],
)
def test_a_value_that_names_no_component_is_refused(value, problem):
    with pytest.raises(SpecError, match=problem):
        load_study(small_study(student=value))


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("student", '{ ref = "./file.py:NAME", width = 2 }'),
        ("task", '{ ref = "detection", hint_weight = 1.0 }'),
        ("synthesis", '{ ref = "deep-inversion", images = 2304 }; known methods: deep-inversion, cmi, noise'),
    ],
)
def test_a_table_without_a_reference_is_refused_with_an_example_that_suits_the_key(key, table):
    with pytest.raises(SpecError, match=re.escape(f"{key}: has no ref; write a name, or a table such as {table}")):
        load_study(small_study(**{key: {"method": "foo"}}))


def test_the_tables_in_messages_are_accepted():
    study = load_study(small_study(synthesis={"ref": "deep-inversion", "images": 2304}))
    assert study.synthesis.options["images"] == 2304


def _net(num_classes, in_channels):
    return None


def test_functions_are_accepted_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    study = load_study(small_study(student=_net, teacher=lambda num_classes, in_channels: None))
    assert study.student.name == "tests.specs.test_component:_net"
    assert study.teacher.name.startswith(f"pickle:{tmp_path}/components/")
    assert load_study(study.model_dump(mode="json", exclude_none=True), has_run=True) == study


def test_a_custom_loss_has_weight_one_unless_the_study_gives_another(tmp_path):
    (tmp_path / "losses.py").write_text("def gap(student, teacher, labels, temperature, alpha):\n    return None\n")
    assert load_study(study_file(tmp_path, loss="./losses.py:gap")).alpha == 1.0
    assert load_study(study_file(tmp_path, loss="./losses.py:gap", alpha=0.3)).alpha == 0.3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"strategy": "./mine.py:Other"},
            "mine.py:Other has to be a class derived from kdtune.strategies.base.Strategy",
        ),
        (
            {"strategy": "single", "temperature": "./mine.py:Other"},
            "has to be a class derived from .*TemperaturePolicy",
        ),
        (
            {"strategy": "single", "temperature": "./mine.py:function"},
            "has to be a class derived from .*TemperaturePolicy",
        ),
    ],
)
def test_a_class_of_another_kind_is_refused(tmp_path, options, problem):
    (tmp_path / "mine.py").write_text("class Other:\n    pass\n\n\ndef function():\n    pass\n")
    with pytest.raises(SpecError, match=problem):
        load_study(study_file(tmp_path, strategies={"mine": options}))


def test_options_become_json_values(nets):
    given = {"width": np.int64(3), "rate": np.float32(0.5), "deep": np.bool_(True), "sizes": (1, (2, np.int8(3)))}
    student = load_study(small_study(student={"ref": f"{nets}:tiny", **given})).student
    assert student.options == {"width": 3, "rate": 0.5, "deep": True, "sizes": [1, [2, 3]]}
    assert [type(one) for one in student.options.values()] == [int, float, bool, list]
    assert Component(name="x.y:z", options=given).options == student.options


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "has to be a finite number, got nan"),
        ([1, np.float64("inf")], "has to be a finite number, got inf"),
        (None, r"has no value \(None\); leave the option out"),
        (np.arange(3), "has to be a number, .*got array"),
        ({"a": {1: 2}}, "has to be a number, .*got {1: 2} of type dict"),
        (object, "has to be a number, .*got <class 'object'> of type type"),
    ],
)
def test_an_option_that_is_no_json_value_is_refused_once_by_name(nets, value, problem):
    with pytest.raises(SpecError, match=f"student: option 'width' {problem}") as caught:
        load_study(small_study(student={"ref": f"{nets}:tiny", "width": value}))
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize("digest", ["sha256", 256, True, None, "0123"])
def test_an_option_called_digest_is_refused_instead_of_dropped(nets, digest):
    with pytest.raises(SpecError, match="student: option 'digest' has a name that kdtune uses itself"):
        load_study(small_study(student={"ref": f"{nets}:tiny", "digest": digest}))


@pytest.mark.parametrize("digest", ["0123456789abcdef", "torchvision==0.26.0+cpu"])
def test_the_digest_of_a_frozen_table_is_accepted(digest):
    assert component_of({"ref": "x.y:z", "digest": digest}).digest == digest


@pytest.mark.parametrize("key", ["ref", "digest"])
def test_a_component_of_a_program_has_no_option_with_a_name_of_the_table(key):
    with pytest.raises(ValueError, match=f"option '{key}' has a name that kdtune uses itself"):
        Component(name="x.y:z", options={key: "0123456789abcdef"})
