import os
import pickle
import subprocess
import sys

import pytest
import tomli_w

from kdtune.errors import SpecError
from kdtune.results.flat_points import flat_trial_id
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.data_options import DataOptions
from kdtune.specs.study import Setting
from kdtune.specs.teacher_identity import teacher_key
from kdtune.training.resolution import teacher_recipe
from tests.recipes import identity_of, recipe_of, spec_of
from tests.studies import small_study


def changed(study, **updates):
    """The study with some values replaced; a table replaces single values of a training."""
    for name in ("training", "teacher_training"):
        if name in updates:
            updates[name] = getattr(study, name).model_copy(update=updates[name])
    for name in {"dataset", "teacher", "student", "loss"} & updates.keys():
        updates[name] = Component(name=updates[name])
    return study.model_copy(update=updates)


def other_space(study):
    return load_study(study, overrides=["search_space.tau={low=1, high=2}"]).search_space


# What a point makes of a study


def test_a_tau_is_fixed_and_the_rest_is_the_studys(study):
    recipe = recipe_of(study, {"tau": 6})
    assert recipe.temperature == Component(name="fixed", options={"tau": 6})
    assert recipe.method == Component(name="hkd", options={"alpha": 0.95})
    assert recipe.training == study.training
    assert recipe.model == Component(name="convnet_2_4_4")


def test_a_point_overrides_what_it_names(study):
    recipe = recipe_of(study, {"tau": 6, "alpha": 0.5, "learning_rate": 1, "weight_decay": 0})
    assert recipe.alpha == 0.5
    assert recipe.training == study.training.model_copy(update={"learning_rate": 1.0, "weight_decay": 0.0})


def test_a_policy_by_name_draws_from_the_studys_space(study):
    recipe = recipe_of(study, {"temperature": "stochastic"})
    assert recipe.temperature.name == "stochastic"
    assert recipe.temperature.options["space"] == study.search_space["tau"].model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"tau": 4, "draw": "epoch"}, "point: draw: cannot be searched; known: tau, alpha"),
        ({"tau": 4, "longer": 2}, "point: longer: is possible only for a loss without a teacher"),
        ({"temperature": "stochastic", "draw": "bach"}, "point: draw: should be 'batch', 'epoch' or 'sample'"),
        ({"temperature": "stochastic", "scale": "lin"}, "point: scale: should be 'uniform' or 'log'"),
        ({"temperature": "stochastic", "tau": 4}, "point: tau: unknown key; known: draw, scale, space"),
        ({"temperature": "stochastik"}, "point: temperature: unknown temperature 'stochastik'; did you mean"),
        ({"loss": "cee"}, "point: loss: unknown loss 'cee'; did you mean 'ce'?"),
        ({"tau": 4, "restrat": 1}, "point: restrat: cannot be searched; did you mean 'restart'?"),
        ({"tau": "hot"}, "point: tau: has to be a number, got 'hot'"),
        ({"tau": True}, "point: tau: has to be a number, got True"),
        ({"tau": 0}, "point: tau: should be greater than 0, got 0"),
        ({"temperature": 4}, "point: temperature: has to be a name, got 4"),
        ({"alpha": 0.5}, "point: tau: is missing"),
        ({}, "point: tau: is missing: give one, or name a temperature: fixed, stochastic"),
    ],
)
def test_what_a_point_cannot_say_is_refused(study, point, words):
    with pytest.raises(SpecError) as caught:
        recipe_of(study, point)
    assert words in str(caught.value)


def test_a_resolved_training_travels_to_a_worker_by_value_and_names_no_study(study):
    spec = spec_of(study, {"temperature": "stochastic", "draw": "epoch"}, 3)
    there = pickle.loads(pickle.dumps(spec))
    assert there == spec and there.identity == spec.identity
    assert type(there.setting) is Setting and there.setting == study.setting
    assert "strategies" not in spec.model_dump_json() and study.name not in spec.model_dump_json()


def test_a_loss_without_a_teacher_has_no_temperature(study):
    recipe = recipe_of(study, {"loss": "ce"})
    assert not recipe.needs_teacher
    assert (recipe.temperature, recipe.alpha) == (None, 0.0)


def test_the_teacher_is_trained_on_the_labels_by_its_own_recipe(study):
    recipe = teacher_recipe(changed(study, teacher_training={"epochs": 77}))
    assert not recipe.needs_teacher
    assert (recipe.model.name, recipe.training.epochs) == ("convnet_32", 77)


# Which trainings are the same


def test_a_trials_id_is_12_hexadecimal_digits(study):
    identity = identity_of(study, {"tau": 4}, 0)
    assert len(identity) == 12
    assert int(identity, 16) >= 0


def test_the_order_of_a_points_keys_does_not_matter(study):
    assert identity_of(study, {"tau": 4, "alpha": 0.5}, 0) == identity_of(study, {"alpha": 0.5, "tau": 4}, 0)


@pytest.mark.parametrize(
    "updates",
    [{"name": "x"}, {"description": "x"}, {"repeats": 9}, {"seed": 9}, {"strategies": {"none": {}}}],
    ids=lambda updates: next(iter(updates)),
)
def test_how_a_study_is_run_or_told_does_not_matter_to_a_trial(study, updates):
    assert identity_of(changed(study, **updates), {"tau": 4}, 0) == identity_of(study, {"tau": 4}, 0)


@pytest.mark.parametrize(
    "updates",
    [
        {"loss": "dml"},
        {"alpha": 0.5},
        {"validation": 0.2},
        {"split_seed": 1},
        {"data": DataOptions(train_limit=500)},
        {"teacher_seed": 1},
        {"student": "convnet_32"},
        {"teacher": "convnet_2_4_4"},
        {"training": {"epochs": 4}},
        {"training": {"milestones": (1,)}},
        {"teacher_training": {"learning_rate": 0.2}},
    ],
    ids=str,
)
def test_whatever_changes_a_training_changes_its_id(study, updates):
    assert identity_of(changed(study, **updates), {"tau": 4}, 0) != identity_of(study, {"tau": 4}, 0)


def test_another_search_space_changes_the_id_of_what_draws_from_it(study):
    point = {"temperature": "stochastic"}
    assert identity_of(changed(study, search_space=other_space(study)), point, 0) != identity_of(study, point, 0)


def test_every_point_and_every_seed_has_an_id_of_its_own(study):
    stochastic, alone = {"temperature": "stochastic"}, {"loss": "ce"}
    points = [*({"tau": tau} for tau in range(2, 21)), stochastic, alone]
    points += [{**stochastic, "draw": "epoch"}, {**stochastic, "scale": "log"}, {**stochastic, "restart": 1}]
    points += [{"tau": 4, "restart": 1}, {**alone, "longer": 2.0}]
    assert len({identity_of(study, point, seed) for point in points for seed in range(3)}) == 26 * 3


@pytest.mark.parametrize(
    ("point", "identity"),
    [({"tau": 4}, "e10211c2cfea"), ({"temperature": "stochastic"}, "89b7ee754fba"), ({"loss": "ce"}, "a17530d315ab")],
    ids=str,
)
def test_the_ids_of_earlier_results_are_what_they_were(point, identity):
    assert flat_trial_id(load_study("digits-hkd"), point, 0) == identity


def test_a_grid_and_a_fixed_temperature_share_a_training_however_the_number_is_written(study):
    assert identity_of(study, {"tau": 4}, 0) == identity_of(study, {"tau": 4.0}, 0)


def test_what_draws_on_a_scale_is_the_same_training_wherever_the_scale_comes_from(study):
    stochastic = {"temperature": "stochastic"}
    logarithmic = load_study(study, overrides=["search_space.tau.log=true"])
    assert identity_of(study, {**stochastic, "scale": "log"}, 0) == identity_of(logarithmic, stochastic, 0)


def test_a_study_read_back_from_its_frozen_file_has_the_same_trials(study, tmp_path):
    (tmp_path / "study.toml").write_text(tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)))
    again = load_study(tmp_path / "study.toml")
    assert identity_of(again, {"tau": 4}, 0) == identity_of(study, {"tau": 4}, 0)


def test_another_process_gives_the_same_ids():
    code = (
        "from kdtune.specs import load_study; from kdtune.specs.teacher_identity import teacher_key; "
        "from tests.recipes import identity_of;"
        "s = load_study('digits-hkd'); print(identity_of(s, {'tau': 4}, 0), teacher_key(s, 1))"
    )
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # another one than here
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    study = load_study("digits-hkd")
    assert done.stdout == f"{identity_of(study, {'tau': 4}, 0)} {teacher_key(study, 1)}\n"


# Which teachers are the same


def test_a_teachers_key_is_16_hexadecimal_digits(study):
    key = teacher_key(study, 1)
    assert len(key) == 16
    assert int(key, 16) >= 0


@pytest.mark.parametrize(
    "updates",
    [
        {"name": "x"},
        {"seed": 9},
        {"repeats": 9},
        {"loss": "dml"},
        {"alpha": 0.5},
        {"student": "convnet_32"},
        {"training": {"epochs": 4}},
        {"strategies": {"none": {}}},
    ],
    ids=str,
)
def test_what_does_not_touch_the_teacher_leaves_its_key(study, updates):
    assert teacher_key(changed(study, **updates), 1) == teacher_key(study, 1)


def test_the_search_space_leaves_the_teachers_key(study):
    assert teacher_key(changed(study, search_space=other_space(study)), 1) == teacher_key(study, 1)


@pytest.mark.parametrize(
    "updates",
    [
        {"dataset": "other"},
        {"teacher": "convnet_2_4_4"},
        {"validation": 0.2},
        {"split_seed": 1},
        {"data": DataOptions(train_limit=500)},
        {"teacher_seed": 1},
        {"teacher_training": {"epochs": 4}},
    ],
    ids=str,
)
def test_whatever_the_teachers_weights_depend_on_changes_its_key(study, updates):
    assert teacher_key(changed(study, **updates), 1) != teacher_key(study, 1)


def test_how_a_given_teacher_would_be_trained_leaves_its_key(study):
    """That of a trained one names its random streams, so a teacher that shared those of a repeat is trained again."""
    given = changed(study, teacher_weights="0123456789abcdef")
    assert teacher_key(changed(given, teacher_seed=1), 1) == teacher_key(given, 1) == "ef58366cfca4b3c2"


def test_other_files_of_the_same_data_set_make_another_teacher(study):
    assert teacher_key(study, 1, fingerprint="0123456789ab") != teacher_key(study, 1)


def test_another_number_of_threads_makes_another_teacher(study):
    assert teacher_key(study, 1) != teacher_key(study, 2)


def test_a_teacher_trained_on_a_gpu_does_not_depend_on_the_number_of_cpu_threads(study):
    assert teacher_key(study, 1, "cuda") == teacher_key(study, 2, "cuda") != teacher_key(study, 1)


@pytest.mark.parametrize("point", [{"loss": "ce", "draw": "batch"}, {"tau": 4, "loss": "cmc", "beta": 3}])
def test_an_option_that_a_loss_does_not_have_is_refused(point):
    with pytest.raises(SpecError, match="is no option of loss"):
        recipe_of(load_study(small_study()), point)
