"""The built-in components, one line each; nothing of them is imported before it is used."""

from collections.abc import Mapping
from typing import Any

from kdtune.catalog.builtin_data import DATASETS as DATASETS
from kdtune.catalog.builtin_models import MODELS as MODELS
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

#: The task of a study that names none.
DEFAULT_TASK = "classification"


def objectives_of(task: str) -> tuple[Metric, ...]:
    """Return the metrics that can decide a study, the default first; of a task that is not built in, the accuracy."""
    found: tuple[Metric, ...] = TASKS.facts_of(task).get("objectives", (Metric(ACCURACY),))
    return found


#: Facts: ``needs_teacher``, whether the loss compares with a teacher, and ``default_alpha``, the weight of the
#: distillation term if a study gives none. The paper uses 0.95 for HKD and says that CMC and DML take no weights, which
#: is a weight of 1 on distillation and none on the labels. Methods of their own are classes (see
#: :mod:`kdtune.methods.base`) and have further facts: ``hidden_tuning``, what their authors picked, and on what;
#: ``default_tau``, unless they have no tau; ``has_phases``, True where a training has phases; and ``dynamic``, as for
#: temperatures. Methods with weights of their own have no ``default_alpha``.
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

LOSSES.add(
    "standardized",
    "kdtune.methods.standardized:Standardized",
    "logit standardisation: 9 tau^2 KL of logits with deviation 1, and 0.1 CE (CVPR 2024)",
    needs_teacher=True,
    default_tau=2,
    hidden_tuning="tau 2 or 3 and weight 9 or 1, chosen per pair of networks; the authors' code has no validation part",
)
LOSSES.add(
    "multi",
    "kdtune.methods.multi:MultiTemperature",
    "mean of tau^2 KL over several multiples of tau (from MLKD, CVPR 2023)",
    needs_teacher=True,
    default_alpha=0.9,
    default_tau=4,
    hidden_tuning="the set {2, 3, 4, 5, 6}, of the authors' code for CIFAR-100, which has no validation part",
)
LOSSES.add(
    "dtkd",
    "kdtune.methods.dtkd:DynamicTemperature",
    "KL at a pair of temperatures for each image and at tau, after a ramp, and CE (arXiv 2404.12711)",
    needs_teacher=True,
    dynamic=True,
    default_tau=4,
    hidden_tuning="tau 4, three weights and the ramp of the authors' code for CIFAR-100, which has no validation part",
)
LOSSES.add(
    "ttm",
    "kdtune.methods.ttm:Ttm",
    "KL of the student's plain outputs from the teacher's softened ones, and CE (ICLR 2024)",
    needs_teacher=True,
    default_tau=10,
    hidden_tuning="gamma = 1/tau and the weight, chosen per pair of networks; the authors' code has no validation part",
)
LOSSES.add(
    "wttm",
    "kdtune.methods.ttm:Wttm",
    "as ttm, each image weighted by the sum of the powers of the teacher's outputs (ICLR 2024)",
    needs_teacher=True,
    default_tau=5,
    hidden_tuning="gamma = 1/tau and the weight, chosen per pair of networks; the authors' code has no validation part",
)
LOSSES.add(
    "ea",
    "kdtune.methods.ea:EntropyAdaptive",
    "tau^2 KL, each image weighted by the entropies of teacher and student (arXiv 2311.13621)",
    needs_teacher=True,
    default_alpha=0.9,
    default_tau=4,
    hidden_tuning="temperature 3 of the entropies and their bound; the authors' code has no validation part",
)
LOSSES.add(
    "annealing",
    "kdtune.methods.annealing:Annealing",
    "regression onto the teacher's annealed logits, then CE from the best weights (EACL 2021)",
    needs_teacher=True,
    dynamic=True,
    has_phases=True,
    hidden_tuning="10 levels and the lengths of both phases, chosen per data set",
)

#: The loss of a network that is trained without a teacher, such as the teacher itself.
WITHOUT_TEACHER = "ce"

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
    hidden_tuning="the range, which is 2 to 20 in the paper and the search space here",
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
    hidden_tuning="the first tau, both learning rates, the interval and the held-out share; the defaults are of kdtune",
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


def is_method(loss: str) -> bool:
    """Return whether a loss is a built-in method of its own, a class with options that is defined without torch."""
    return "hidden_tuning" in LOSSES.facts_of(loss)


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
