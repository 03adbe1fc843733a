"""The built-in components, one line each; nothing of them is imported before it is used."""

from collections.abc import Mapping
from typing import Any

from kdtune.catalog.catalog import Catalog
from kdtune.catalog.metric import ACCURACY, Metric

#: Facts: ``objectives``, the metrics that can decide a study; the first one does unless the study names another.
TASKS = Catalog("task", "kdtune.tasks")
TASKS.add(
    "classification",
    "kdtune.tasks.classification.task:Classification",
    "one class for each image",
    objectives=(Metric(ACCURACY), Metric("balanced_accuracy"), Metric("f1")),
)


def objectives_of(task: str) -> tuple[Metric, ...]:
    """Return the metrics that can decide a study, the default first; of a task that is not known here, the accuracy."""
    found: tuple[Metric, ...] = TASKS.facts_of(task).get("objectives", (Metric(ACCURACY),))
    return found


#: Facts: ``classes``; ``shape`` of an image; ``train_images`` and ``test_images`` as published (a subset made by the
#: user has fewer); ``download_mb``; and ``files``, the files required in the data folder, with their MD5 if it is
#: known. The target is a class that loads the data set: see :class:`kdtune.data.published.Published`.
DATASETS = Catalog("data set", "kdtune.datasets")
DATASETS.add(
    "digits",
    "kdtune.data.digits:Digits",
    "scikit-learn's 1,797 scanned digits, 8x8 grey, 10 classes; bundled, nothing to download",
    classes=10,
    shape=(1, 8, 8),
    train_images=800,
    test_images=997,
    download_mb=0,
    files={},
)
DATASETS.add(
    "cifar10",
    "kdtune.data.cifar:Cifar10",
    "photos of animals and vehicles, 32x32 in colour, 10 classes (Krizhevsky 2009)",
    classes=10,
    shape=(3, 32, 32),
    train_images=50_000,
    test_images=10_000,
    download_mb=170,
    files={
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)
DATASETS.add(
    "cifar100",
    "kdtune.data.cifar:Cifar100",
    "photos of 100 kinds of things, 32x32 in colour (Krizhevsky 2009)",
    classes=100,
    shape=(3, 32, 32),
    train_images=50_000,
    test_images=10_000,
    download_mb=169,
    files={
        "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
        "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
    },
)
DATASETS.add(
    "fashion_mnist",
    "kdtune.data.fashion_mnist:FashionMnist",
    "articles of clothing, 28x28 grey, 10 classes (Xiao et al. 2017)",
    classes=10,
    shape=(1, 28, 28),
    train_images=60_000,
    test_images=10_000,
    download_mb=31,
    # MD5 of the unpacked files. Torchvision publishes those of the archives from which these were unpacked.
    files={
        "FashionMNIST/raw/train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "FashionMNIST/raw/train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "FashionMNIST/raw/t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "FashionMNIST/raw/t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
)
DATASETS.add(
    "tiny_imagenet",
    "kdtune.data.tiny_imagenet:TinyImageNet",
    "photos of 200 kinds of things, 64x64 in colour; its validation part is the test set (Stanford CS231n)",
    classes=200,
    shape=(3, 64, 64),
    train_images=100_000,
    test_images=10_000,
    download_mb=248,
    files={
        "tiny-imagenet-200/wnids.txt": None,
        "tiny-imagenet-200/words.txt": None,
        "tiny-imagenet-200/train": None,
        "tiny-imagenet-200/val/val_annotations.txt": None,
        "tiny-imagenet-200/val/images": None,
    },
)
DATASETS.add_scheme("folder", "kdtune.data.image_folder:FOLDERS", of_paths=True)

MODELS = Catalog("model", "kdtune.models")
MODELS.add_scheme("torchvision", "kdtune.models.torchvision_networks:TORCHVISION")
MODELS.add_scheme("timm", "kdtune.models.timm_networks:TIMM")
MODELS.add("convnet_2_4_4", "kdtune.models.convnet:convnet_2_4_4", "three convolutions of 2, 4 and 4 channels")
MODELS.add("convnet_4_8_16", "kdtune.models.convnet:convnet_4_8_16", "three convolutions of 4, 8 and 16 channels")
MODELS.add("convnet_16_32_64", "kdtune.models.convnet:convnet_16_32_64", "three convolutions of 16, 32 and 64 channels")
MODELS.add("convnet_32", "kdtune.models.convnet:convnet_32", "three convolutions of 32 channels each")
MODELS.add("resnet18", "kdtune.models.resnet:resnet18", "ResNet-18 with a 3x3 stem, 11.2 M parameters")
MODELS.add("resnet20", "kdtune.models.resnet:resnet20", "ResNet-20 for CIFAR, 0.28 M parameters")
MODELS.add("resnet56", "kdtune.models.resnet:resnet56", "ResNet-56 for CIFAR, 0.86 M parameters")
MODELS.add("resnet8x4", "kdtune.models.resnet:resnet8x4", "ResNet-8 with four times the channels, 1.2 M parameters")
MODELS.add("resnet32x4", "kdtune.models.resnet:resnet32x4", "ResNet-32 with four times the channels, 7.4 M parameters")
MODELS.add("wrn_16_1", "kdtune.models.wide_resnet:wrn_16_1", "wide ResNet WRN-16-1, 0.18 M parameters")
MODELS.add("wrn_16_2", "kdtune.models.wide_resnet:wrn_16_2", "wide ResNet WRN-16-2, 0.70 M parameters")
MODELS.add("wrn_40_2", "kdtune.models.wide_resnet:wrn_40_2", "wide ResNet WRN-40-2, 2.3 M parameters")
MODELS.add("vgg8", "kdtune.models.vgg:vgg8", "VGG of 8 layers with batch normalisation, 4.0 M parameters")
MODELS.add("vgg13", "kdtune.models.vgg:vgg13", "VGG of 13 layers with batch normalisation, 9.5 M parameters")
MODELS.add("mobilenet_v2", "kdtune.models.mobilenet_v2:mobilenet_v2", "MobileNetV2 with a 1x1 stem, 2.4 M parameters")
MODELS.add("shufflenet_v2", "kdtune.models.shufflenet_v2:shufflenet_v2", "ShuffleNetV2 of width 1, 1.4 M parameters")

#: Facts: ``needs_teacher``, whether the loss compares with a teacher, and ``default_alpha``, the weight of the
#: distillation term if a study gives none. The paper uses 0.95 for HKD and says that CMC and DML take no weights, which
#: is a weight of 1 on distillation and none on the labels.
LOSSES = Catalog("loss", "kdtune.losses")
LOSSES.add(
    "hkd",
    "kdtune.methods.losses:hkd",
    "Hinton's distillation: alpha tau^2 KL + (1 - alpha) CE",
    needs_teacher=True,
    default_alpha=0.95,
)
LOSSES.add(
    "cmc",
    "kdtune.methods.losses:cmc",
    "mean squared difference of the logits, each divided by tau",
    needs_teacher=True,
    default_alpha=1.0,
)
LOSSES.add(
    "dml",
    "kdtune.methods.losses:dml",
    "KL of the softened outputs without the tau^2 weight",
    needs_teacher=True,
    default_alpha=1.0,
)
LOSSES.add(
    "ce",
    "kdtune.methods.losses:ce",
    "cross-entropy with the labels alone, no teacher",
    needs_teacher=False,
    default_alpha=0.0,
)

#: The loss of a network that is trained without a teacher, such as the teacher itself.
WITHOUT_TEACHER = "ce"

#: Facts: ``shown_as``, what tables show in place of a single tau.
TEMPERATURES = Catalog("temperature", "kdtune.temperatures")
TEMPERATURES.add("fixed", "kdtune.temperature.fixed:FixedTemperature", "one tau for the whole training")
TEMPERATURES.add(
    "stochastic",
    "kdtune.temperature.stochastic:StochasticTemperature",
    "a random tau from the search space for each batch (PLOS ONE 2023, e0285668)",
    shown_as="random",
)
TEMPERATURES.add(
    "cosine", "kdtune.temperature.cosine:Cosine", "falls along half a cosine, the control of falling temperatures"
)
TEMPERATURES.add(
    "instance",
    "kdtune.temperature.instance:InstanceWise",
    "a tau for each image, smaller for hard ones: FLSW or CWSM (arXiv 1911.07471)",
)
TEMPERATURES.add(
    "dtkd",
    "kdtune.temperature.dtkd:Dtkd",
    "a tau for each image and network, from their greatest logits (the temperature of arXiv 2404.12711)",
)

#: The temperature of a suggestion that names none: it takes the suggested tau.
DEFAULT_TEMPERATURE = "fixed"

#: A temperature under which tau differs from step to step, for checks that compare such steps.
VARYING_TEMPERATURE = "stochastic"

#: Facts: ``needs_teacher``, False where a strategy's trainings have none whatever the study's loss is; ``restartable``,
#: True where it is one training that ``best-of`` can start again; ``control``, ``luck`` where it searches for nothing,
#: so that its gain over one training is what the choice of the best of many gives.
STRATEGIES = Catalog("strategy", "kdtune.strategies")
STRATEGIES.add("grid", "kdtune.strategies.grid:Grid", "every point of the search space")
STRATEGIES.add("random", "kdtune.strategies.random:Random", "some points, drawn without replacement")
STRATEGIES.add("optuna", "kdtune.strategies.optuna:Optuna", "Optuna's TPE, in rounds of a frozen size")
STRATEGIES.add("asha", "kdtune.strategies.asha:Asha", "successive halving: all points briefly, the best to the end")
STRATEGIES.add(
    "stochastic",
    "kdtune.strategies.stochastic:Stochastic",
    "no search: one training, a random tau for each batch",
    restartable=True,
)
STRATEGIES.add(
    "fixed",
    "kdtune.strategies.fixed:Fixed",
    "no search: one training at tau 4, a customary value",
    restartable=True,
)
STRATEGIES.add(
    "single",
    "kdtune.strategies.single:Single",
    "no search: one training under a temperature by name",
    restartable=True,
)
STRATEGIES.add(
    "best-of",
    "kdtune.strategies.best_of:BestOf",
    "no search: the best of many restarts of one training, a control for luck",
    control="luck",
)
STRATEGIES.add(
    "none",
    "kdtune.strategies.none:NoDistillation",
    "no search: the student alone, trained on the labels without a teacher",
    needs_teacher=False,
)
STRATEGIES.add_scheme("tuned", "kdtune.strategies.tuned:TUNED")

#: Options of built-in strategies whose value names another component, with the catalog of that component.
OPTION_CATALOGS = {"temperature": TEMPERATURES, "of": STRATEGIES}


def is_all_built_in(strategy: str, options: Mapping[str, Any]) -> bool:
    """Return whether a strategy and all components that its options name are built in.

    Results folders may come from others, so code that only reads them must not import anything else that they name.
    """
    named = ((catalog, options[key]) for key, catalog in OPTION_CATALOGS.items() if key in options)
    return strategy in STRATEGIES and all(isinstance(name, str) and name in catalog for catalog, name in named)
