"""What is shipped, held against a table: a study that is missing, or is another one, would go unnoticed else."""

import pytest

from kdtune.analysis.listing import studies
from kdtune.catalog.builtin import METHOD_STRATEGIES
from kdtune.specs import SEARCH_SPACES, available, load_study
from kdtune.specs.file_search import _shipped
from kdtune.specs.loading import load_search_space
from kdtune.specs.named_recipes import RECIPES
from kdtune.specs.training import Training

#: Each study's data set, teacher, student, loss, batch size and repeats.
SHIPPED = {
    "digits-hkd": ("digits", "convnet_32", "convnet_2_4_4", "hkd", 32, 3),
    "digits-cmc": ("digits", "convnet_32", "convnet_2_4_4", "cmc", 32, 3),
    "digits-dml": ("digits", "convnet_32", "convnet_2_4_4", "dml", 32, 3),
    "fashion-hkd": ("fashion_mnist", "convnet_16_32_64", "convnet_4_8_16", "hkd", 128, 6),
    # Table 4 of the paper.
    "cifar10-hkd": ("cifar10", "resnet18", "mobilenet_v2", "hkd", 128, 5),
    "cifar10-cmc": ("cifar10", "resnet18", "mobilenet_v2", "cmc", 128, 5),
    "cifar10-dml": ("cifar10", "resnet18", "mobilenet_v2", "dml", 128, 5),
    "cifar100-hkd": ("cifar100", "resnet18", "mobilenet_v2", "hkd", 128, 5),
    "cifar100-cmc": ("cifar100", "resnet18", "mobilenet_v2", "cmc", 128, 5),
    "cifar100-dml": ("cifar100", "resnet18", "mobilenet_v2", "dml", 128, 5),
    "tinyimagenet-hkd": ("tiny_imagenet", "resnet18", "shufflenet_v2", "hkd", 128, 5),
    "tinyimagenet-cmc": ("tiny_imagenet", "resnet18", "mobilenet_v2", "cmc", 128, 5),
    "tinyimagenet-dml": ("tiny_imagenet", "resnet18", "mobilenet_v2", "dml", 128, 5),
    # Figure 1, Figure 3b and Table 7.
    "cifar100-hkd-shufflenet": ("cifar100", "resnet18", "shufflenet_v2", "hkd", 128, 5),
    "cifar100-hkd-batch-32": ("cifar100", "resnet18", "mobilenet_v2", "hkd", 32, 5),
    "cifar100-hkd-batch-64": ("cifar100", "resnet18", "mobilenet_v2", "hkd", 64, 5),
    "cifar100-hkd-batch-256": ("cifar100", "resnet18", "mobilenet_v2", "hkd", 256, 5),
    "tinyimagenet-hkd-resnet18-resnet18": ("tiny_imagenet", "resnet18", "resnet18", "hkd", 128, 5),
    "tinyimagenet-hkd-shufflenet-resnet18": ("tiny_imagenet", "shufflenet_v2", "resnet18", "hkd", 128, 5),
    "tinyimagenet-hkd-shufflenet-shufflenet": ("tiny_imagenet", "shufflenet_v2", "shufflenet_v2", "hkd", 128, 5),
}


def test_every_study_of_the_table_is_shipped():
    there = {path.stem for path in _shipped("studies").glob("*.toml")}
    assert SHIPPED.keys() - there == set()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_study_has_the_settings_that_its_name_promises(name):
    study = load_study(_shipped("studies") / f"{name}.toml")
    names = [str(one) for one in (study.dataset, study.teacher, study.student, study.loss)]
    assert (*names, study.training.batch_size, study.repeats) == SHIPPED[name]
    # A study of the paper's differs from its recipe in the batches alone, and its teacher not at all.
    if not name.startswith(("digits", "fashion")):
        recipe = load_study("cifar100-hkd").training
        assert study.training == recipe.model_copy(update={"batch_size": study.training.batch_size})
        assert study.teacher_training == recipe


@pytest.mark.parametrize("name", SHIPPED)
def test_every_study_lists_the_six_strategies_with_a_budget_of_ten(name):
    six = {
        "grid": {},
        "random": {"trials": 10},
        "optuna": {"trials": 10},
        "stochastic": {},
        "fixed": {"tau": 4},
        "none": {},
    }
    strategies = load_study(_shipped("studies") / f"{name}.toml").strategies
    assert {strategy: strategies.get(strategy) for strategy in six} == six


#: Those that compare dynamic temperatures.
DYNAMIC = {
    "digits-dynamic": ("convnet_32", "convnet_2_4_4", "adamw", 10),
    "fashion-dynamic": ("convnet_16_32_64", "convnet_4_8_16", "adamw", 6),
    "cifar100-dynamic": ("resnet32x4", "resnet8x4", "sgd", 5),
    "cifar100-dynamic-adamw": ("resnet32x4", "resnet8x4", "adamw", 5),
    "cifar100-dynamic-mobilenet": ("vgg13", "mobilenet_v2_half", "sgd", 5),
}


@pytest.mark.parametrize("name", DYNAMIC)
def test_every_dynamic_study_lists_all_methods_and_their_rivals(name):
    study = load_study(_shipped("studies") / f"{name}.toml")
    assert (study.teacher.name, study.student.name, study.training.optimizer, study.repeats) == DYNAMIC[name]
    rivals = {"fixed", "grid", "none", "stochastic", "instance-cwsm", "tuned-standardized", "tuned-normkd"}
    assert {*METHOD_STRATEGIES} | rivals == {*study.strategies}
    assert (study.alpha, study.search_space) == (0.9, load_search_space("tau-1-40-log"))
    if study.dataset.name == "cifar100" and study.training.optimizer == "sgd":
        rate = 0.01 if "mobilenet" in name else 0.05
        crd = Training.model_validate(RECIPES["crd"])
        assert (study.training, study.teacher_training) == (crd.model_copy(update={"learning_rate": rate}), crd)


def test_descriptions_of_studies_are_different(tmp_path):
    told = [one["description"] for one in studies(tmp_path)]
    assert all(told) and len(set(told)) == len(told)


def test_the_search_spaces_are_shipped():
    assert {"tau-1-20", "tau-2-20", "tau-1-40-log", "tau-alpha"} <= available(SEARCH_SPACES).keys()
