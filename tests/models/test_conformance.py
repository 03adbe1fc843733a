"""The conformance suite over every registered network."""

import pytest

from kdtune.catalog.builtin import models_of
from kdtune.specs.component import Component
from kdtune.testing.networks import NetworkConformance


class TestBuiltIn(NetworkConformance):
    image_shape = (1, 16, 16)  # test_models.py has others

    @pytest.fixture(scope="class", params=models_of("classification"))
    def network(self, request):
        return Component(name=request.param)
