import pytest
from pydantic import ValidationError

from kdtune.errors import SpecError
from kdtune.specs import Study, Training, load_study
from tests.studies import small_study

TRAINING = {"epochs": 10, "batch_size": 32, "learning_rate": 0.1}


def study(**changes):
    table = {
        "name": "small",
        "dataset": "digits",
        "teacher": "convnet_32",
        "student": "convnet_2_4_4",
        "loss": "hkd",
        "search_space": {"tau": {"low": 2, "high": 20, "step": 1}},
        "training": TRAINING,
        "teacher_training": TRAINING,
        "strategies": {"grid": {}},
    }
    return Study.model_validate({**table, **changes})


@pytest.mark.parametrize(("loss", "alpha"), [("hkd", 0.95), ("cmc", 1.0), ("dml", 1.0), ("ce", 0.0)])
def test_alpha_is_that_of_the_paper_by_default(loss, alpha):
    assert study(loss=loss).alpha == alpha


def test_a_given_alpha_is_used():
    assert study(loss="hkd", alpha=0.5).alpha == 0.5


def test_each_repeat_has_the_next_seed():
    assert study(seed=7, repeats=3).seeds() == [7, 8, 9]


def test_a_tenth_is_held_out_by_default():
    assert study().validation == 0.1


def test_a_whole_number_of_validation_images_is_a_count():
    validation = study(validation=400).validation
    assert validation == 400
    assert isinstance(validation, int)


@pytest.mark.parametrize("validation", [0, 0.0, -1, 1.5, -0.1])
def test_an_invalid_validation_part_is_refused(validation):
    with pytest.raises(ValidationError):
        study(validation=validation)


def test_a_fraction_of_one_is_not_read_as_one_image():
    with pytest.raises(ValidationError):
        study(validation=1.0)


@pytest.mark.parametrize("margin", [0, -0.1, 1, 5.0])
def test_the_margin_of_a_built_in_task_is_a_fraction(margin):
    with pytest.raises(ValidationError, match="margin"):
        study(margin=margin)


def test_the_margin_of_ones_own_task_is_in_the_unit_of_its_metric(tmp_path):
    (tmp_path / "tasks.py").write_text(
        "from kdtune.tasks.classification.task import Classification\nclass Pixels(Classification): pass\n"
    )
    assert study(task=f"{tmp_path}/tasks.py:Pixels", margin=2.5).margin == 2.5


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "x" * 101, "a\n", "-rf", "a\0"])
def test_a_name_that_is_not_a_folder_name_is_refused(name):
    with pytest.raises(ValidationError):
        study(name=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 1.1},
        {"alpha": -0.1},
        {"repeats": 0},
        {"seed": -1},
        {"seed": 2**31},
        {"split_seed": -1},
        {"surprise": 1},
    ],
)
def test_values_out_of_range_and_unknown_keys_are_refused(changes):
    with pytest.raises(ValidationError):
        study(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"momentum": 1},
        {"weight_decay": -1e-4},
        {"milestones": [0]},
        {"gamma": 0},
        {"gamma": 1.5},
        {"warmup_epochs": -1},
        {"optimizer": "rmsprop"},
        {"lr": 0.1},
    ],
)
def test_an_invalid_training_is_refused(changes):
    with pytest.raises(ValidationError):
        Training.model_validate({**TRAINING, **changes})


def test_an_infinite_learning_rate_is_refused():
    with pytest.raises(ValidationError):
        Training.model_validate({**TRAINING, "learning_rate": float("inf")})


@pytest.mark.parametrize("key", ["epochs", "batch_size", "milestones"])
@pytest.mark.parametrize("value", [True, 2.0, "2"])
def test_a_count_in_a_training_is_an_integer(key, value):
    with pytest.raises(ValidationError, match="should be a valid integer"):
        Training.model_validate({**TRAINING, key: [value] if key == "milestones" else value})


@pytest.mark.parametrize("key", ["repeats", "seed", "split_seed", "teacher_seed"])
@pytest.mark.parametrize("value", [True, 2.0, "2"])
def test_a_count_or_seed_of_a_study_is_an_integer(key, value):
    with pytest.raises(ValidationError, match="should be a valid integer"):
        study(**{key: value})


@pytest.mark.parametrize("value", [True, "1", float("inf")])
def test_a_warm_up_is_a_number(value):
    with pytest.raises(ValidationError):
        Training.model_validate({**TRAINING, "warmup_epochs": value})


def test_a_warm_up_of_whole_epochs_is_always_an_integer():
    whole, written = (Training.model_validate({**TRAINING, "warmup_epochs": value}) for value in (2, 2.0))
    assert whole.model_dump_json() == written.model_dump_json()
    assert '"warmup_epochs":2,' in whole.model_dump_json()  # and as it did when it had to be an integer
    part = Training.model_validate({**TRAINING, "warmup_epochs": 0.5})
    assert Training.model_validate_json(part.model_dump_json()) == part


def test_milestones_and_warmup_change_in_proportion_to_the_epochs():
    long = Training(epochs=100, batch_size=128, learning_rate=0.1, milestones=(30, 60, 80), warmup_epochs=10)
    short = long.scaled_to(20)
    assert (short.epochs, short.milestones, short.warmup_epochs) == (20, (6, 12, 16), 2)
    assert isinstance(short.warmup_epochs, int)


@pytest.mark.parametrize(("epochs", "warmup"), [(50, 0.5), (10, 0.1), (2, 0.02), (250, 2.5), (300, 3)])
def test_a_warm_up_is_scaled_exactly(epochs, warmup):
    long = Training(epochs=100, batch_size=128, learning_rate=0.1, warmup_epochs=1)
    assert long.scaled_to(epochs).warmup_epochs == warmup


@pytest.mark.parametrize(
    ("epochs", "milestones"),
    [
        (1, ()),  # 0.3, 0.6, 0.8: there is no epoch after the first
        (2, (1,)),  # 0.6, 1.2, 1.6, which is 1, 1, 2
        (3, (1, 2)),  # 0.9, 1.8, 2.4
        (4, (1, 2, 3)),  # 1.2, 2.4, 3.2
        (5, (2, 3, 4)),  # 1.5, 3, 4
    ],
)
def test_equal_milestones_are_merged_and_late_ones_are_removed(epochs, milestones):
    long = Training(epochs=100, batch_size=128, learning_rate=0.1, milestones=(30, 60, 80))
    assert long.scaled_to(epochs).milestones == milestones


def test_a_scaled_milestone_is_at_least_one_epoch():
    long = Training(epochs=100, batch_size=128, learning_rate=0.1, milestones=(10,))
    assert long.scaled_to(3).milestones == (1,)


def test_scaling_does_not_change_other_keys_of_the_recipe():
    long = Training(epochs=100, batch_size=128, learning_rate=0.3, momentum=0.8, weight_decay=5e-4, gamma=0.1)
    assert long.scaled_to(10) == long.model_copy(update={"epochs": 10})


def test_a_study_cannot_be_changed():
    with pytest.raises(ValidationError):
        study().alpha = 0.5


def test_what_varies_between_repeats_has_one_order_and_is_left_out_if_nothing_does():
    varied = load_study(small_study(vary=["teacher", "split"]))
    assert varied.vary == ("split", "teacher") and varied.model_dump()["vary"] == varied.vary
    second = varied.of_repeat(varied.seed + 1)
    assert (second.split_seed, second.teacher_seed, second.vary) == (1, 1, ())
    plain = load_study(small_study())
    assert plain.of_repeat(5) is plain and "vary" not in plain.model_dump()
    with pytest.raises(SpecError, match="vary"):
        load_study(small_study(vary=["student"]))
