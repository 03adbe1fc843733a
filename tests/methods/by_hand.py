"""Logits and temperatures in float64, for values by hand."""

import pytest
import torch

from kdtune.temperature.base import PolicyContext, Temperature

#: Of a policy for one training of one epoch on the CPU.
CPU = PolicyContext(0, torch.device("cpu"), 1, 8)


def logits(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def tau(value):
    return Temperature.same(torch.tensor(float(value), dtype=torch.float64))


def exactly(value):
    return pytest.approx(value, rel=1e-12, abs=1e-14)
