import pytest

from kdtune.energy.sensors.node import QUALITIES
from kdtune.energy.uncertainty import RELATIVE, quality_of, uncertainty_uj


def test_every_quality_has_a_bound_and_better_ones_have_smaller_bounds():
    assert list(RELATIVE) == list(QUALITIES)
    assert sorted(RELATIVE.values()) == list(RELATIVE.values())


@pytest.mark.parametrize(("source", "quality"), [("gpu_counter", "counter"), ("lump_modelled", "modelled")])
def test_a_source_names_its_quality(source, quality):
    assert quality_of(source) == quality


def test_errors_of_all_sources_add_up():
    buckets = [{"gpu_counter": 1000, "ram_modelled": 100}, {"gpu_polled": 100, "cpu_modelled": 10}, {}]
    assert uncertainty_uj(buckets) == 50 + 40 + 35 + 4


def test_no_energy_has_no_uncertainty():
    assert uncertainty_uj([]) == 0
