import copy
import os
import subprocess
import sys

import pytest
import tomli_w

from kdtune.errors import SpecError
from kdtune.specs import SearchSpace, available, load_search_space, load_study
from kdtune.specs.file_search import read_toml
from kdtune.specs.overrides import parse_override
from kdtune.specs.teacher_identity import teacher_key


@pytest.fixture
def table():
    return read_toml(available("studies")["digits-hkd"])


def faults(source, **arguments):
    """Each fault as (where, key, problem)."""
    with pytest.raises(SpecError) as caught:
        load_study(source, **arguments)
    return [(fault.where, fault.key, fault.problem) for fault in caught.value.faults]


def test_a_study_is_loaded_by_name_path_and_table_alike(table):
    path = available("studies")["digits-hkd"]
    by_name = load_study("digits-hkd")
    assert load_study(path) == by_name
    assert load_study(str(path)) == by_name
    assert load_study({**table, "name": "digits-hkd"}) == by_name


def test_a_table_without_a_name_is_called_custom(table):
    assert load_study(table).name == "custom"


def test_a_file_without_a_name_is_called_as_the_file(table, tmp_path):
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(table))
    assert load_study(tmp_path / "mine.toml").name == "mine"


def test_a_loaded_study_loads_as_itself():
    study = load_study("digits-hkd")
    assert load_study(study) == study


def test_a_study_written_to_toml_is_read_back_the_same(tmp_path):
    study = load_study("digits-cmc", overrides=["training.weight_decay=0"])
    frozen = tmp_path / "study.toml"
    frozen.write_text(tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)))
    assert load_study(frozen) == study


def test_the_record_of_the_run_in_a_frozen_study_is_ignored(table, tmp_path):
    (tmp_path / "study.toml").write_text(tomli_w.dumps({**table, "name": "x", "resolved": {"precision": "float32"}}))
    assert load_study(tmp_path / "study.toml").name == "x"


def test_the_search_space_may_be_a_table_in_the_study(table):
    study = load_study({**table, "search_space": {"tau": {"values": [2, 4]}}})
    assert study.search_space.points() == [{"tau": 2}, {"tau": 4}]


def test_a_search_space_is_loaded_from_a_path(tmp_path):
    (tmp_path / "mine.toml").write_text("[tau]\nvalues = [3, 5]\n")
    assert load_search_space(str(tmp_path / "mine.toml")).points() == [{"tau": 3}, {"tau": 5}]


def test_a_loaded_search_space_loads_as_itself():
    space = SearchSpace.model_validate({"tau": {"low": 4, "high": 4}})
    assert load_search_space(space) is space


def test_the_callers_table_is_left_alone(table):
    before = copy.deepcopy(table)
    load_study(table, overrides=["training.batch_size=3", "strategies.random.trials=2"], repeats=1, seed=9, epochs=4)
    assert table == before


# What the command line changes


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("alpha=0.5", ("alpha",), 0.5),
        ("training.epochs=20", ("training", "epochs"), 20),
        ("training.milestones=[3, 6]", ("training", "milestones"), [3, 6]),
        ("loss=dml", ("loss",), "dml"),
        ('loss="dml"', ("loss",), "dml"),
        ("description=a = b", ("description",), "a = b"),
        ("description=", ("description",), ""),
        (" alpha = 1 ", ("alpha",), 1),
    ],
)
def test_an_override_is_parsed_as_toml_or_used_as_a_string(text, key, value):
    assert parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["alpha", "=1", "training.=1", ".epochs=1", ""])
def test_an_override_without_key_or_value_is_refused(text):
    with pytest.raises(SpecError, match="KEY=VALUE"):
        parse_override(text)


def test_overrides_replace_values_of_the_file():
    study = load_study("digits-hkd", overrides=["alpha=0.5", "training.batch_size=64", "loss=dml"])
    assert (study.alpha, study.training.batch_size, study.loss.name) == (0.5, 64, "dml")


def test_the_last_override_is_used():
    assert load_study("digits-hkd", overrides=["alpha=0.5", "alpha=0.25"]).alpha == 0.25


def test_an_override_leaves_its_neighbours():
    before = load_study("digits-hkd")
    after = load_study("digits-hkd", overrides=["training.batch_size=64"])
    assert after.training == before.training.model_copy(update={"batch_size": 64})


def test_an_override_may_name_another_search_space():
    assert load_study("digits-hkd", overrides=["search_space=tau-1-20"]).search_space.points()[0] == {"tau": 1}


def test_an_override_reaches_a_strategys_options():
    assert load_study("digits-hkd", overrides=["strategies.random.trials=3"]).strategies["random"] == {"trials": 3}


def test_a_faulty_override_is_blamed_and_not_the_file():
    assert faults("digits-hkd", overrides=["alpha=2"]) == [
        ("--set", "alpha", "should be less than or equal to 1, got 2")
    ]


def test_a_misspelt_override_is_refused_with_a_suggestion():
    assert faults("digits-hkd", overrides=["training.epoch=3"]) == [
        ("--set", "training.epoch", "unknown key; did you mean 'epochs'?")
    ]


def test_an_override_below_a_value_is_one_fault():
    (fault,) = faults("digits-hkd", overrides=["training.epochs.x=3"])
    assert fault == ("--set", "training.epochs.x", "training.epochs is 30 and not a table")


def test_repeats_and_seed_replace_the_studys():
    assert load_study("digits-hkd", repeats=2, seed=5).seeds() == [5, 6]


def test_epochs_scale_the_students_milestones_and_leave_the_teacher():
    before, after = load_study("digits-hkd"), load_study("digits-hkd", epochs=10)
    assert (after.training.epochs, after.training.milestones) == (10, (4, 6, 8))
    assert after.teacher_training == before.teacher_training


@pytest.mark.parametrize("flag", ["epochs", "repeats"])
def test_a_flag_below_one_is_one_fault_of_that_flag(flag):
    ((where, _, problem),) = faults("digits-hkd", **{flag: 0})
    assert where == f"--{flag}"
    assert problem.endswith("got 0")


def test_a_seed_below_zero_is_a_fault_of_the_flag():
    assert [where for where, _, _ in faults("digits-hkd", seed=-1)] == ["--seed"]


def test_the_limit_on_epochs_holds_for_the_flag_too():
    assert [where for where, _, _ in faults("digits-hkd", epochs=100_001)] == ["--epochs"]


# Schedules and splits that cannot come


def test_a_milestone_that_never_comes_is_refused_with_the_remedy(table):
    table["training"]["milestones"] = [12, 30]
    assert faults(table) == [
        (
            "study",
            "training.milestones",
            "30 is never reached: the last of 30 epochs is 29, counted from 0; set milestones too, or use --epochs, "
            "which changes them in proportion",
        )
    ]
    table["training"]["milestones"] = [12, 29]
    assert load_study(table).training.milestones == (12, 29)


@pytest.mark.parametrize("milestones", [[12, 12], [18, 12]])
def test_milestones_have_to_grow(table, milestones):
    table["teacher_training"]["milestones"] = milestones
    ((_, key, problem),) = faults(table)
    assert key == "teacher_training.milestones" and "later than the one before" in problem


def test_a_warm_up_that_does_not_end_is_refused(table):
    table["training"]["warmup_epochs"] = 30.5
    ((_, key, problem),) = faults(table)
    assert key == "training.warmup_epochs" and "does not end within 30" in problem
    table["training"]["warmup_epochs"] = 30
    assert load_study(table).training.warmup_epochs == 30


def test_epochs_that_the_milestones_do_not_fit_are_blamed():
    assert [found[:2] for found in faults("digits-hkd", overrides=["training.epochs=20"])] == [
        ("--set", "training.milestones")
    ]
    study = load_study("digits-hkd", overrides=["training.epochs=20", "training.milestones=[10]"])
    assert study.training.milestones == (10,)


def test_a_study_that_ran_with_milestones_that_fell_together_is_still_read(table, tmp_path):
    table["training"] |= {"epochs": 3, "milestones": [1, 2, 2]}
    path = tmp_path / "study.toml"
    path.write_text(tomli_w.dumps({**table, "name": "x", "resolved": {}}))
    assert load_study(path).training.milestones == (1, 2, 2)
    assert load_study(table, has_run=True).training.milestones == (1, 2, 2)
    assert load_study(load_study(path)).training.milestones == (1, 2, 2)
    assert [key for _, key, _ in faults(path, overrides=["alpha=0.5"])] == ["training.milestones"]
    assert [key for _, key, _ in faults(table)] == ["training.milestones"]


@pytest.mark.parametrize("validation", [800, 5000, 0.0001, 0.9999])
def test_a_split_that_leaves_a_part_empty_is_refused_before_anything_runs(table, validation):
    ((_, key, problem),) = faults({**table, "validation": validation})
    assert key == "validation" and "of 800 training images leaves one part empty" in problem


def test_a_message_names_a_limit_that_leaves_too_few_images():
    ((where, key, problem),) = faults("digits-hkd", overrides=["data.train_limit=400"])
    assert (where, key) == ("--set", "validation") and "holding out 400 of 400" in problem
    assert load_study("digits-hkd", overrides=["data.train_limit=401"]).data.train_limit == 401


# Faults


def test_all_faults_are_reported_at_once(table):
    table.update(dataset="digit", loss="hdk", alpha=2, surprise=1, search_space="tau-2-2")
    table["training"]["epochs"] = 0
    table["strategies"]["random"]["trails"] = 3
    del table["student"]
    assert {key for _, key, _ in faults(table)} == {
        "dataset",
        "loss",
        "alpha",
        "surprise",
        "search_space",
        "training.epochs",
        "strategies.random.trails",
        "student",
    }


def test_a_fault_names_its_file(table, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps({**table, "alpha": 2}))
    assert faults(path) == [(str(path), "alpha", "should be less than or equal to 1, got 2")]


def test_a_fault_in_a_search_space_file_names_that_file(table, tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("[tau]\nlow = 2\nhigh = 20\nstp = 1\n")
    assert faults({**table, "search_space": str(path)}) == [(str(path), "tau.stp", "unknown key; did you mean 'step'?")]


@pytest.mark.parametrize(
    ("key", "typo", "meant"),
    [
        ("dataset", "digit", "digits"),
        ("teacher", "convnet32", "convnet_32"),
        ("student", "convnet_2_4", "convnet_2_4_4"),
        ("loss", "hdk", "hkd"),
    ],
)
def test_a_misspelt_name_is_refused_with_a_suggestion(table, key, typo, meant):
    ((_, where, problem),) = faults({**table, key: typo})
    assert where == key
    assert problem.endswith(f"did you mean {meant!r}?")


def test_an_unknown_key_is_refused_with_a_suggestion(table):
    assert faults({**table, "repeat": 3}) == [("study", "repeat", "unknown key; did you mean 'repeats'?")]


@pytest.mark.parametrize("word", ["interval", "floats", "constrained"])
def test_an_unknown_key_is_named_whatever_it_begins_with(table, word):
    ((_, key, _),) = faults({**table, word: 1})
    assert key == word


@pytest.mark.parametrize("where", ["training", "strategies.random", "search_space.tau"])
def test_an_unknown_key_in_a_table_is_named_whatever_it_begins_with(table, where):
    ((_, key, problem),) = faults(
        {**table, "search_space": {"tau": {"values": [2]}}}, overrides=[f"{where}.interval=1"]
    )
    assert key == f"{where}.interval"
    assert problem.startswith("unknown key")


def test_an_unknown_strategy_is_refused_with_a_suggestion(table):
    assert faults({**table, "strategies": {"grdi": {}}}) == [
        (
            "study",
            "strategies.grdi",
            "unknown strategy 'grdi'; did you mean 'grid'? (for a label of your own, name the strategy: "
            'strategy = "...")',
        )
    ]


def test_a_study_without_strategies_is_refused_with_an_example(table):
    ((_, key, problem),) = faults({**table, "strategies": {}})
    assert key == "strategies"
    assert "[strategies.stochastic]" in problem


def test_an_unknown_dimension_is_refused_with_a_suggestion(table):
    ((_, key, problem),) = faults({**table, "search_space": {"tua": {"low": 2, "high": 3}}})
    assert key == "search_space.tua"
    assert "did you mean 'tau'?" in problem


def test_a_search_space_without_tau_is_refused(table):
    ((_, key, problem),) = faults({**table, "search_space": {"alpha": {"values": [0.5, 1]}}})
    assert key == "search_space"
    assert "[tau]" in problem


@pytest.mark.parametrize("value", [3, ["tau-2-20"], True])
def test_a_search_space_of_another_kind_is_refused(table, value):
    ((_, key, _),) = faults({**table, "search_space": value})
    assert key == "search_space"


@pytest.mark.parametrize("key", ["dataset", "loss", "training", "strategies"])
def test_a_value_of_the_wrong_kind_is_a_fault_and_no_crash(table, key):
    del table["alpha"]
    assert key in {where for _, where, _ in faults({**table, key: ["x"]})}


def test_invalid_toml_is_refused_with_line_and_column(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text('name = "x"\nalpha = = 1\n')
    ((where, _, problem),) = faults(path)
    assert where == str(path)
    assert "line 2" in problem


def test_a_file_that_is_no_text_is_a_fault(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\x89PNG\r\n")
    assert faults(path)[0][2] == "not valid TOML: line 1 is not UTF-8 (byte 0x89); save the file as UTF-8"


def test_loading_and_planning_import_no_library_that_takes_seconds(tmp_path):
    # So that --help and a typo are answered at once, and the command that drives Ray's workers starts quickly.
    code = """
import sys
import kdtune.api
from kdtune.data.sources import available_images
from kdtune.planning.trial_plan import teacher_trainings
from kdtune.specs import load_study
from kdtune.storage.paths import data_dir
from kdtune.training.batch_norm_checks import check_batches
from tests.recipes import identity_of

study = load_study("digits-hkd")
identity_of(study, {"tau": 4}, 0)
check_batches(study, available_images(study, data_dir()), trains_teacher=True)
assert teacher_trainings(study) > 3
print(sorted({"torch", "ray", "sklearn", "scipy", "pandas", "optuna"} & sys.modules.keys()))
"""
    environment = {**os.environ, "KDTUNE_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_limit_of_training_images_is_in_the_data_table_and_can_be_overridden():
    study = load_study("digits-hkd", overrides=["data.train_limit=500"])
    assert study.data.train_limit == 500
    assert study.model_dump(mode="json")["data"] == {"train_limit": 500}
    assert load_study(study) == study


def test_a_study_with_all_of_its_data_is_written_without_a_limit():
    study = load_study("digits-hkd")
    assert study.data.train_limit is None
    assert "data" not in study.model_dump(mode="json")


def test_a_limit_beyond_the_data_set_is_refused_before_anything_runs():
    found = faults("digits-hkd", overrides=["data.train_limit=5000"])
    assert [(where, key) for where, key, _ in found] == [("--set", "data.train_limit")]
    assert "at most 800" in found[0][2]


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many", "true"])
def test_a_limit_that_is_no_count_is_refused(value):
    assert faults("digits-hkd", overrides=[f"data.train_limit={value}"])[0][:2] == ("--set", "data.train_limit")


def test_a_misspelt_data_option_is_refused_with_a_suggestion():
    assert "did you mean 'train_limit'?" in faults("digits-hkd", overrides=["data.train_limits=5"])[0][2]


def test_a_flag_that_makes_a_study_invalid_is_named():
    with pytest.raises(SpecError, match=r"with --set search_space\.tau\.low: search_space\.tau: low \(30\)"):
        load_study("digits-hkd", overrides=["search_space.tau.low=30"])


@pytest.mark.parametrize("encode", [
    lambda text: text.encode("utf-8-sig"),  # as editors on Windows save it
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
])  # fmt: skip
def test_a_study_and_a_space_are_read_as_editors_on_windows_write_them(table, tmp_path, encode):
    (tmp_path / "space.toml").write_bytes(encode("[tau]\nvalues = [2, 4]\n"))
    described = {**table, "description": "K\u00fche", "search_space": str(tmp_path / "space.toml")}
    (tmp_path / "mine.toml").write_bytes(encode(tomli_w.dumps(described)))
    study = load_study(tmp_path / "mine.toml")
    assert study.description == "K\u00fche" and len(study.search_space.points()) == 2


@pytest.mark.parametrize("encoding, told", [
    ("utf-16", "the file is UTF-16; save it as UTF-8"),  # as PowerShell's > writes it
    ("utf-16-be", "the file is UTF-16; save it as UTF-8"),
    ("utf-16-le", "the file is UTF-16; save it as UTF-8"),
    ("utf-32", "the file is UTF-32; save it as UTF-8"),
    ("latin-1", "line 2 is not UTF-8 (byte 0xfc); save the file as UTF-8"),
])  # fmt: skip
def test_a_file_in_another_encoding_is_named_with_the_remedy(tmp_path, encoding, told):
    (tmp_path / "mine.toml").write_bytes('dataset = "digits"\ndescription = "K\u00fche"\n'.encode(encoding))
    assert faults(tmp_path / "mine.toml") == [(str(tmp_path / "mine.toml"), "", f"not valid TOML: {told}")]
    (tmp_path / "space.toml").write_bytes("# tau,\n# gr\u00fcndlich\n[tau]\nvalues = [2]\n".encode(encoding))
    with pytest.raises(SpecError) as refused:
        load_search_space(str(tmp_path / "space.toml"))
    assert str(refused.value) == f"{tmp_path / 'space.toml'}: not valid TOML: {told}"


def test_an_unknown_task_is_told_what_was_meant(table):
    problem = "unknown task 'classificaton'; did you mean 'classification'?"
    assert faults({**table, "task": "classificaton"}) == [("study", "task", problem)]


def test_the_objective_is_the_accuracy_unless_the_study_names_another_and_is_then_left_out(table):
    from tests.recipes import identity_of

    plain, named, other = (load_study({**table, **one}) for one in ({}, {"objective": "accuracy"}, {"objective": "f1"}))
    assert plain == named and plain.objective == "accuracy" and "objective" not in plain.model_dump()
    assert identity_of(plain, {"tau": 4}, 0) == identity_of(named, {"tau": 4}, 0)
    assert other.model_dump()["objective"] == "f1" and load_study(other) == other
    assert load_study(table, overrides=["objective=balanced_accuracy"]).objective == "balanced_accuracy"


def test_an_unknown_objective_is_told_what_was_meant(table):
    problem = "'balanced_acuracy' cannot decide a study; did you mean 'balanced_accuracy'?"
    assert faults({**table, "objective": "balanced_acuracy"}) == [("study", "objective", problem)]


def test_a_normalisation_is_part_of_the_identity_only_where_it_is_given():
    plain, limited = (load_study("digits-hkd", overrides=given) for given in ([], ["data.train_limit=500"]))
    assert "data" not in plain.model_dump(mode="json")
    assert limited.model_dump(mode="json")["data"] == {"train_limit": 500}
    given = load_study("digits-hkd", overrides=["data.mean=[0.5]", "data.std=[0.25]"])
    assert given.model_dump(mode="json")["data"] == {"train_limit": None, "mean": [0.5], "std": [0.25]}
    assert load_study(given) == given
    assert given.data.normalisation == ((0.5,), (0.25,))
    assert teacher_key(given, 1) != teacher_key(plain, 1)


@pytest.mark.parametrize(
    ("overrides", "key", "problem"),
    [
        (["data.mean=[0.5]"], "data", "mean and std belong together; give both, or neither"),
        (["data.mean=[0.5]", "data.std=[0.5, 0.5]"], "data", "mean has 1 numbers and std 2; give one for each channel"),
        (["data.mean=[0.5, 1]", "data.std=[0.5, 1]"], "data.mean", "the images have 1 channels, but 2 numbers"),
        (["data.mean=[0.5]", "data.std=[0]"], "data.std.0", "should be greater than 0"),
        (["data.mean=[120]", "data.std=[1]"], "data.mean.0", "should be less than or equal to 1"),
    ],
)
def test_a_normalisation_that_fits_no_image_is_refused(overrides, key, problem):
    ((_, found_key, found),) = faults("digits-hkd", overrides=overrides)
    assert found_key == key
    assert problem in found


def test_images_on_the_host_are_read_by_eager_steps_alone():
    study = load_study("digits-hkd", overrides=["data.resident=false"])
    assert study.model_dump(mode="json")["data"] == {"train_limit": None, "resident": False}
    assert teacher_key(study, 1) == teacher_key(load_study("digits-hkd"), 1)
    assert load_study(study) == study
    overrides = ["data.resident=false", "numerics.compile=graph"]
    assert "a captured step cannot read images from the host" in faults("digits-hkd", overrides=overrides)[0][2]


@pytest.mark.parametrize("epochs", [0, 1.5, "3", True])
def test_epochs_that_are_no_positive_integer_are_refused(epochs):
    (fault,) = faults("digits-hkd", epochs=epochs)
    assert fault[0] == "--epochs" and fault[2].startswith("has to be an integer between 1 and")


def test_an_option_of_a_component_without_options_can_be_set():
    study = load_study("digits-hkd", overrides=["student.width=3"])
    assert (study.student.name, study.student.options) == (load_study("digits-hkd").student.name, {"width": 3})


def test_a_name_that_names_no_folder_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "my stüdy.toml").write_text('repeats = 1\ntraining = "fast"\n')
    found = {key: problem for _, key, problem in faults(tmp_path / "my stüdy.toml")}
    assert "rename the file, or give a name, got 'my stüdy'" in found["name"]
    assert found["training"] == "has to be a table, got 'fast'"


@pytest.mark.parametrize(
    ("study", "change", "problem"),
    [
        (
            "digits-hkd",
            "student=ssd_16_32_64_64",
            'ssd_16_32_64_64 is for detection .task = "detection".; networks for classification: con',
        ),
        (
            "digits-detection",
            "teacher=resnet18",
            'resnet18 is for classification .task = "classification".; networks for detection: ssd_16',
        ),
    ],
)
def test_a_network_for_another_task_is_refused_with_those_for_the_task(study, change, problem):
    with pytest.raises(SpecError, match=problem):
        load_study(study, overrides=[change])


def test_a_single_value_where_a_list_belongs_is_refused_with_an_example():
    with pytest.raises(SpecError, match="vary: has to be a list, such as .'split'., got 'split'"):
        load_study("digits-hkd", overrides=["vary=split"])
