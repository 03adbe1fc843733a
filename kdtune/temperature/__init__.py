"""Temperature policies: what decides tau inside one training."""

from kdtune.catalog.registry import Registry

POLICIES = Registry("temperature")
POLICIES.add("fixed", "kdtune.temperature.fixed:Fixed", "one tau for the whole training")
POLICIES.add(
    "stochastic",
    "kdtune.temperature.stochastic:Stochastic",
    "each batch draws its tau from the search space (PLOS ONE 2023, e0285668)",
)
