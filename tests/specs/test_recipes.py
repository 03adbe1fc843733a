import pytest
import tomli_w

from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.recipes import RECIPES, with_recipe
from kdtune.specs.study import Training
from tests.studies import small_study


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_whole_training(name):
    assert Training.model_validate(RECIPES[name]).epochs == RECIPES[name]["epochs"]


def test_the_papers_text_and_code_differ_as_its_notes_say():
    text, code = (Training.model_validate(RECIPES[name]) for name in ("paper-text", "paper-code"))
    assert (text.optimizer, text.milestones, text.learning_rate) == ("adam", (40, 60, 80), 0.1)
    assert (code.optimizer, code.milestones, code.warmup_epochs) == ("sgd", (30, 60, 80), 1)
    assert (code.momentum, code.weight_decay) == (0.9, 5e-4)
    assert text.augment == code.augment == ("crop", "flip", "rotate")


def test_what_stands_beside_a_recipe_goes_before_it():
    assert with_recipe({"recipe": "crd", "batch_size": 32}) == {**RECIPES["crd"], "batch_size": 32}


def test_a_study_refers_to_recipes_by_name():
    study = load_study(small_study(training={"recipe": "crd", "epochs": 3, "milestones": [2]}))
    assert (study.training.batch_size, study.training.epochs, study.training.milestones) == (64, 3, (2,))


def test_epochs_scale_a_recipes_milestones_and_warm_up():
    study = load_study(small_study(training={"recipe": "paper-code"}), epochs=10)
    assert study.training.milestones == (3, 6, 8)


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
    (tmp_path / "study.toml").write_text(tomli_w.dumps({**study.model_dump(mode="json", exclude_none=True), "resolved": {}}))
    for source in (study, tmp_path / "study.toml"):
        asked = load_study(source, overrides=["training.recipe=crd"])
        assert asked.training == Training.model_validate(RECIPES["crd"])


def test_the_last_of_two_recipes_wins():
    study = load_study("digits-hkd", overrides=["training.recipe=crd", "training.recipe=paper-code"])
    assert study.training == Training.model_validate(RECIPES["paper-code"])


def test_an_unknown_recipe_is_refused_with_what_was_meant():
    with pytest.raises(SpecError, match=r"training.recipe: unknown recipe 'paper-cod'; did you mean 'paper-code'\?"):
        load_study(small_study(training={"recipe": "paper-cod"}))
