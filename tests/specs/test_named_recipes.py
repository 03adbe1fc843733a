import pytest
import tomli_w

from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.named_recipes import RECIPES, with_recipe
from kdtune.specs.training import Training
from tests.studies import small_study

AUGMENT = ("crop", "flip", "rotate")

#: What each recipe is, in numbers: whoever changes one changes every result under its name.
GOLDEN = {
    "paper-text": Training(
        epochs=100,
        batch_size=128,
        optimizer="adam",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.0005,
        milestones=(40, 60, 80),
        gamma=0.2,
        warmup_epochs=1,
        augment=AUGMENT,
    ),
    "paper-code": Training(
        epochs=100,
        batch_size=128,
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.0005,
        milestones=(30, 60, 80),
        gamma=0.2,
        warmup_epochs=1,
        augment=AUGMENT,
    ),
    "crd": Training(
        epochs=240,
        batch_size=64,
        optimizer="sgd",
        learning_rate=0.05,
        momentum=0.9,
        weight_decay=0.0005,
        milestones=(150, 180, 210),
        gamma=0.1,
        warmup_epochs=0,
        augment=("crop", "flip"),
    ),
}


def test_recipes_are_unchanged():
    assert {name: Training.model_validate(table) for name, table in RECIPES.items()} == GOLDEN


def test_keys_beside_a_recipe_take_precedence():
    assert with_recipe({"recipe": "crd", "batch_size": 32}) == {**RECIPES["crd"], "batch_size": 32}


def test_epochs_beside_a_recipe_move_its_milestones_and_warm_up_unless_these_are_given():
    alone = with_recipe({"recipe": "paper-code", "epochs": 10})
    assert (alone["milestones"], alone["warmup_epochs"]) == ([3, 6, 8], 0.1)
    given = with_recipe({"recipe": "paper-code", "epochs": 10, "milestones": [5], "warmup_epochs": 2})
    assert (given["milestones"], given["warmup_epochs"]) == ([5], 2)
    assert with_recipe({"recipe": "paper-code", "epochs": 100}) == RECIPES["paper-code"]


def test_overridden_epochs_of_a_teacher_scale_the_schedule_of_its_recipe():
    study = load_study("cifar100-hkd", overrides=["teacher_training.epochs=4"])
    assert (study.teacher_training.milestones, study.teacher_training.warmup_epochs) == ((1, 2, 3), 0.04)
    assert study.training == GOLDEN["paper-code"]


@pytest.mark.parametrize("epochs", ["0", "true", "2.5", "many", "100001"])
def test_epochs_beside_a_recipe_that_are_none_are_one_fault(epochs):
    with pytest.raises(SpecError) as refused:
        load_study("cifar100-hkd", overrides=[f"training.epochs={epochs}"])
    assert [(fault.where, fault.key) for fault in refused.value.faults] == [("--set", "training.epochs")]


def test_a_study_refers_to_recipes_by_name():
    study = load_study(small_study(training={"recipe": "crd", "epochs": 3, "milestones": [2]}))
    assert (study.training.batch_size, study.training.epochs, study.training.milestones) == (64, 3, (2,))


def test_epochs_scale_a_recipes_milestones_and_warm_up():
    study = load_study(small_study(training={"recipe": "paper-code"}), epochs=10)
    assert (study.training.milestones, study.training.warmup_epochs) == ((3, 6, 8), 0.1)


def test_a_recipe_can_be_set_from_the_command_line():
    study = load_study(small_study(), overrides=["training.recipe=paper-text", "training.batch_size=16"])
    assert (study.training.optimizer, study.training.batch_size) == ("adam", 16)


@pytest.mark.parametrize("name", ["training", "teacher_training"])
def test_a_recipe_from_the_command_line_takes_the_place_of_the_studys_own_values(name):
    study = load_study("digits-hkd", overrides=[f"{name}.batch_size=16", f"{name}.recipe=crd"])
    assert getattr(study, name) == Training.model_validate({**RECIPES["crd"], "batch_size": 16})
    other = "teacher_training" if name == "training" else "training"
    assert getattr(study, other) == getattr(load_study("digits-hkd"), other)


def test_a_recipe_from_the_command_line_reaches_a_loaded_and_a_frozen_study(tmp_path):
    study = load_study("digits-hkd")
    table = study.model_dump(mode="json", exclude_none=True)
    (tmp_path / "study.toml").write_text(tomli_w.dumps({**table, "resolved": {}}))
    for source in (study, tmp_path / "study.toml"):
        asked = load_study(source, overrides=["training.recipe=crd"])
        assert asked.training == Training.model_validate(RECIPES["crd"])


def test_the_last_of_two_recipes_is_used():
    study = load_study("digits-hkd", overrides=["training.recipe=crd", "training.recipe=paper-code"])
    assert study.training == Training.model_validate(RECIPES["paper-code"])


def test_an_unknown_recipe_is_refused_with_a_suggestion():
    with pytest.raises(SpecError, match=r"training.recipe: unknown recipe 'paper-cod'; did you mean 'paper-code'\?"):
        load_study(small_study(training={"recipe": "paper-cod"}))
