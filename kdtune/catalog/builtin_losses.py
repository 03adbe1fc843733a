"""The built-in losses; nothing of them is imported before it is used."""

from kdtune.catalog.catalog import Catalog

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
    dynamic=True,
    default_tau=2,
    hidden_tuning="tau 2 or 3 and weight 9 or 1, chosen per pair of networks; the authors' code has no validation part",
)
LOSSES.add(
    "max-logit",
    "kdtune.methods.max_logit:MaxLogit",
    "as standardized, at a tau for each image in proportion to its greatest logit (arXiv 2503.09030)",
    needs_teacher=True,
    dynamic=True,
    default_tau=1.366,
    hidden_tuning="the weight 9, of the authors' code for CIFAR-100, which chooses the epoch by test images",
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


def is_method(loss: str) -> bool:
    """Return whether a loss is a built-in method of its own, a class with options that is defined without torch."""
    return "hidden_tuning" in LOSSES.facts_of(loss)
