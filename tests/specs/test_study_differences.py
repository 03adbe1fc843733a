from kdtune.specs import load_study
from kdtune.specs.study_differences import differences
from tests.studies import small_study


def study(**changes):
    return load_study(small_study(**changes))


def test_equal_studies_have_no_differences():
    assert differences(study(), study()) == []


def test_each_difference_has_both_values():
    training = {"epochs": 4, "batch_size": 100, "learning_rate": 0.05, "weight_decay": 5e-4}
    found = differences(study(), study(training=training, alpha=0.5))
    assert found == ["training.epochs (3 there, 4 now)", "alpha (0.95 there, 0.5 now)"]


def test_keys_of_one_study_only_are_differences_but_excluded_keys_are_not():
    before, after = study(), study(search_space={"tau": {"low": 2, "high": 4, "step": 1}}, description="another")
    found = differences(before, after, leave_out={"description"})
    assert "search_space.tau.values ([2, 6, 10] there, none now)" in found
    assert not any("description" in one for one in found)


def test_of_many_differences_a_few_are_listed_and_the_others_counted():
    after = study(alpha=0.5, seed=3, repeats=4, validation=300, loss="cmc", student="convnet_32")
    assert differences(study(), after)[-1] == "2 more"
