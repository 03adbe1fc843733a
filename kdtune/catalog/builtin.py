"""The built-in components, one line each; nothing of them is imported before it is used."""

from collections.abc import Mapping
from typing import Any

from kdtune.catalog.builtin_data import DATASETS as DATASETS
from kdtune.catalog.builtin_losses import LOSSES, is_method
from kdtune.catalog.builtin_losses import WITHOUT_TEACHER as WITHOUT_TEACHER
from kdtune.catalog.builtin_models import DEFAULT_TASK as DEFAULT_TASK
from kdtune.catalog.builtin_models import MODELS as MODELS
from kdtune.catalog.builtin_models import models_of as models_of
from kdtune.catalog.catalog import Catalog
from kdtune.catalog.metric import ACCURACY, Metric

#: Facts: ``objectives``, the metrics that can decide a study; the first one does unless the study names another;
#: ``hub_task``, what Hugging Face calls the task; ``options``, where the model of its options is; without it, the task
#: has no options; and ``document_figures``, where the function is that draws the files about chosen models. Neither of
#: these two imports torch.
TASKS = Catalog("task", "kdtune.tasks")
TASKS.add(
    "classification",
    "kdtune.tasks.classification.task:Classification",
    "one class for each image",
    objectives=(Metric(ACCURACY), Metric("balanced_accuracy"), Metric("f1")),
    hub_task="image-classification",
    document_figures="kdtune.tasks.classification.document_figures:document_figures",
)
TASKS.add(
    "detection",
    "kdtune.tasks.detection.task:Detection",
    "the objects in each image, with classes and boxes",
    objectives=(Metric("map"), Metric("map_area")),
    hub_task="object-detection",
    document_figures="kdtune.tasks.detection.document_figures:document_figures",
    options="kdtune.tasks.detection.options:Options",
)


def objectives_of(task: str) -> tuple[Metric, ...]:
    """Return the metrics that can decide a study, the default first; of a task that is not built in, the accuracy."""
    found: tuple[Metric, ...] = TASKS.facts_of(task).get("objectives", (Metric(ACCURACY),))
    return found


#: Facts: ``hidden_tuning``, what the authors of a method picked, and on what; ``shown_as``, what tables show in place
#: of a single tau; ``dynamic``, True for a method that moves tau during a training or from image to image by a rule of
#: its own, which neither chance nor the control of such methods is.
TEMPERATURES = Catalog("temperature", "kdtune.temperatures")
TEMPERATURES.add(
    "fixed",
    "kdtune.temperature.fixed:FixedTemperature",
    "one tau for the whole training",
    hidden_tuning="tau, where it is given and not searched",
)
TEMPERATURES.add(
    "stochastic",
    "kdtune.temperature.stochastic:StochasticTemperature",
    "a random tau from the search space for each batch (PLOS ONE 2023, e0285668)",
    hidden_tuning="the range of tau, by default the search space of the study; the paper's is 2 to 20",
    shown_as="random",
)
TEMPERATURES.add(
    "cosine",
    "kdtune.temperature.cosine:Cosine",
    "falls along half a cosine, the control of falling temperatures",
    hidden_tuning="the first tau and the last",
)
TEMPERATURES.add(
    "instance",
    "kdtune.temperature.instance:InstanceWise",
    "a tau for each image, smaller for hard ones: FLSW or CWSM (arXiv 1911.07471)",
    dynamic=True,
    hidden_tuning="tau, beta and gamma; the defaults are neutral values of kdtune",
)
TEMPERATURES.add(
    "dtkd",
    "kdtune.temperature.dtkd:Dtkd",
    "a tau for each image and network, from their greatest logits (the temperature of arXiv 2404.12711)",
    dynamic=True,
    hidden_tuning="the reference tau 4, of the authors' code for CIFAR-100, which has no validation part",
)
TEMPERATURES.add(
    "normkd",
    "kdtune.temperature.normkd:NormKd",
    "a tau for each image and network, in proportion to the spread of their logits (arXiv 2308.00520)",
    dynamic=True,
    hidden_tuning="k = 2 (here tau), of the authors' code for CIFAR-100, which has no validation part",
)
TEMPERATURES.add(
    "dts",
    "kdtune.temperature.dts:Dts",
    "falls along a cosine, more slowly where the student lags far behind the teacher (arXiv 2511.13767)",
    dynamic=True,
    hidden_tuning="tau 8, its lower limit 4 and the moving average 0.9; the authors choose the epoch by test images",
)
TEMPERATURES.add(
    "ctkd",
    "kdtune.temperature.ctkd:Ctkd",
    "one tau, learned against the student by a reversed gradient (AAAI 2023)",
    dynamic=True,
    hidden_tuning="the range 1 to 21 and the ramp of 10 epochs, of the authors' code, which has no validation part",
    shown_as="learned",
)
TEMPERATURES.add(
    "annealing",
    "kdtune.temperature.annealing:Annealed",
    "falls in equal blocks of epochs (the annealing of the method annealing, EACL 2021)",
    dynamic=True,
    hidden_tuning="10 levels",
)
TEMPERATURES.add(
    "meta",
    "kdtune.temperature.meta:Meta",
    "a tau for each network, by meta-gradients on held-out training images (arXiv 2202.07940)",
    dynamic=True,
    hidden_tuning="the first tau, both learning rates, the interval and the held-out share; beta 1 was chosen here",
    shown_as="learned",
)

#: The temperature of a suggestion that names none: it takes the suggested tau.
DEFAULT_TEMPERATURE = "fixed"

#: A temperature under which tau differs from step to step, for checks that compare such steps.
VARYING_TEMPERATURE = "stochastic"

#: Facts: ``needs_teacher``, whether a strategy's trainings have one, where that does not depend on the study's loss;
#: ``restartable``, True where it is one training that ``best-of`` can start again; ``control``, ``luck`` where it
#: searches for nothing, so that its gain is what the choice of the best of many gives; ``dynamic`` as for temperatures;
#: ``begins_after``, the label of the strategy with whose chosen student it begins unless the option ``after`` names
#: one; ``steps``, the kind of its training steps if they cost more or less than others; ``requires``, packages that
#: kdtune does not depend on, with what installs them.
STRATEGIES = Catalog("strategy", "kdtune.strategies")
STRATEGIES.add("grid", "kdtune.strategies.grid:Grid", "every point of the search space")
STRATEGIES.add("random", "kdtune.strategies.random:Random", "some points, drawn without replacement")
STRATEGIES.add("optuna", "kdtune.strategies.optuna:Optuna", "Optuna's TPE, in rounds of a frozen size")
STRATEGIES.add("asha", "kdtune.strategies.asha:Asha", "successive halving: all points briefly, the best to the end")
STRATEGIES.add(
    "successive-halving",
    "kdtune.strategies.successive_halving:SuccessiveHalving",
    "all points once, the best of them several times; the best mean wins",
)
STRATEGIES.add(
    "stochastic",
    "kdtune.strategies.stochastic:Stochastic",
    "no search: one training, a random tau for each batch",
    restartable=True,
)
STRATEGIES.add(
    "fixed", "kdtune.strategies.fixed:Fixed", "no search: one training at tau 4, a customary value", restartable=True
)
STRATEGIES.add(
    "single", "kdtune.strategies.single:Single", "no search: one training under a temperature by name", restartable=True
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
STRATEGIES.add(
    "qat",
    "kdtune.strategies.quantised:Qat",
    "quantisation-aware training of the student that another strategy chose (int8)",
    needs_teacher=False,
    begins_after="none",
    steps="quantising",
    requires={"torchao": "kdtune[quantize]"},
)
STRATEGIES.add(
    "ptq",
    "kdtune.strategies.quantised:Ptq",
    "quantisation of the student that another strategy chose, without training (int8)",
    needs_teacher=False,
    begins_after="none",
    steps="calibrating",
    requires={"torchao": "kdtune[quantize]"},
)
STRATEGIES.add_scheme("tuned", "kdtune.strategies.tuned:TUNED")


#: Methods that are strategies of one training by their own names: all losses that are methods, and all temperatures,
#: unless there is another strategy of that name.
METHOD_STRATEGIES = tuple(
    name for name in dict.fromkeys((*filter(is_method, LOSSES), *TEMPERATURES)) if name not in STRATEGIES
)
for _name in METHOD_STRATEGIES:
    _catalog = LOSSES if is_method(_name) else TEMPERATURES
    _summary = f"no search: one training under {_name}, {_catalog[_name].summary}"
    _facts = {"needs_teacher": True} if is_method(_name) else {}  # whatever the study's own loss is
    _facts["dynamic"] = _catalog.facts_of(_name).get("dynamic", False)
    STRATEGIES.add(_name, f"kdtune.strategies.by_method:{_name}", _summary, restartable=True, **_facts)

#: Options of built-in strategies whose value names another component, with the catalog of that component.
OPTION_CATALOGS = {"temperature": TEMPERATURES, "of": STRATEGIES}


def is_all_built_in(strategy: str, options: Mapping[str, Any]) -> bool:
    """Return whether a strategy and all components that its options name are built in.

    Results folders may come from others, so code that only reads them must not import anything else that they name.
    """
    named = [(catalog, options[key]) for key, catalog in OPTION_CATALOGS.items() if key in options]
    named.append((STRATEGIES, strategy))
    return all(isinstance(name, str) and catalog.is_built_in(name) for catalog, name in named)
