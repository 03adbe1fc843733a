"""kdtune's conformance suites over the components of this package."""

from kdtune.testing.datasets import DatasetConformance
from kdtune.testing.losses import LossConformance
from kdtune.testing.networks import NetworkConformance
from kdtune.testing.strategies import StrategyConformance
from kdtune.testing.temperatures import TemperatureConformance


class TestCellNet(NetworkConformance):
    component = {"ref": "kdtune_cells.network:CellNet", "width": 4}
    image_shape = (1, 16, 16)
    num_classes = 3


class TestCells(DatasetConformance):
    component = {"ref": "kdtune_cells.dataset:cells", "images": 60}


class TestJensenShannon(LossConformance):
    component = "kdtune_cells.loss:jensen_shannon"
    is_divergence = True


class TestConfidence(TemperatureConformance):
    component = {"ref": "kdtune_cells.temperature:Confidence", "sure": 6}


class TestClimb(StrategyConformance):
    component = "kdtune_cells.strategy:Climb"
