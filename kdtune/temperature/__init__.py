"""Temperature policies, which choose tau for each step of a training.

Facts about a policy: ``shown_as``, what tables show in place of a single tau.
"""

from kdtune.catalog.registry import Registry

POLICIES = Registry("temperature")
POLICIES.add("fixed", "kdtune.temperature.fixed:Fixed", "one tau for the whole training")
POLICIES.add(
    "stochastic",
    "kdtune.temperature.stochastic:Stochastic",
    "a random tau from the search space for each batch (PLOS ONE 2023, e0285668)",
    shown_as="random",
)

#: The policy of a suggestion that names none: it takes the suggested tau.
DEFAULT = "fixed"

#: A policy under which tau differs from step to step, for checks that compare such steps.
VARYING = "stochastic"
