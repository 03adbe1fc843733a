"""Temperature policies, which choose tau for each step of a training."""

from kdtune.catalog.registry import Registry

POLICIES = Registry("temperature")
POLICIES.add("fixed", "kdtune.temperature.fixed:Fixed", "one tau for the whole training")
POLICIES.add(
    "stochastic",
    "kdtune.temperature.stochastic:Stochastic",
    "a random tau from the search space for each batch (PLOS ONE 2023, e0285668)",
)
