"""Loads temperature policies, built-in ones and users' own."""

from pydantic import BaseModel

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.catalog.foreign_calls import foreign_call
from kdtune.errors import UsageError
from kdtune.specs.component import Component
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.temperature_range import HAS_RUN
from kdtune.temperature.base import PolicyContext, TemperaturePolicy
from kdtune.temperature.guarded import GuardedPolicy


def policy_class(name: str, digest: str = "") -> type[TemperaturePolicy]:
    """Import and return the class of a policy.

    Args:
        name: Name or reference of the policy.
        digest: The digest that it is expected to have; empty accepts any.

    Raises:
        UsageError: There is no such policy, or it is no class with a model of its options.
    """
    policy = TEMPERATURES.load(name, digest)
    is_policy = isinstance(policy, type) and issubclass(policy, TemperaturePolicy)
    options = getattr(policy, "Options", None)
    if not is_policy or not (isinstance(options, type) and issubclass(options, BaseModel)):
        raise UsageError(
            f"temperature {name}: has to be a class derived from kdtune.temperature.base.TemperaturePolicy, with a "
            "model of its options as its attribute Options"
        )
    return policy


def resolved_options(temperature: Component, options: BaseModel, space: SearchSpace) -> BaseModel:
    """Return the options of a policy in which nothing is left open.

    Raises:
        UsageError: A policy that is not built in fails.
    """
    policy = policy_class(temperature.name, temperature.digest)
    with foreign_call(f"temperature {temperature.name}", "resolved()"):
        return policy.resolved(options, space)


def make_policy(temperature: Component, context: PolicyContext, *, guarded: bool = False) -> TemperaturePolicy:
    """Return the policy of a training.

    Args:
        temperature: The policy, with resolved options.
        context: Facts about the training.
        guarded: Whether to check the values of a built-in policy as well.

    Raises:
        UsageError: A policy that is not built in fails.
    """
    policy = policy_class(temperature.name, temperature.digest)
    options = policy.Options.model_validate(temperature.options, context=HAS_RUN)
    if guarded or temperature.digest:
        built_in = temperature.name in TEMPERATURES
        return GuardedPolicy(temperature.name, policy, options, context, built_in=built_in)
    return policy(options, context)
