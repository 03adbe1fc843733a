"""The base of everything that a user writes down: immutable, and without unknown keys."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A record that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
