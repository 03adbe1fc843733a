import pytest

from kdtune.report.units import co2, co2_unit, energy, energy_unit, flops, flops_unit


@pytest.mark.parametrize(
    ("kwh", "text"),
    [(0.000106, "0.106 Wh"), (1.5, "1.5 kWh"), (0.00001, "0.01 Wh"), (0.0000099, "35.6 J"), (0.0, "0 J"), (None, "-")],
)
def test_an_energy_has_a_unit_of_its_size(kwh, text):
    assert energy(kwh) == text


@pytest.mark.parametrize(
    ("grams", "text"), [(0.0611, "61.1 mg"), (0.63, "0.63 g"), (2500.0, "2.5 kg"), (3.2e6, "3.2 t"), (None, "-")]
)
def test_an_amount_of_co2_has_a_unit_of_its_size(grams, text):
    assert co2(grams) == text


@pytest.mark.parametrize(
    ("count", "text"), [(9.81e10, "98.1 GFLOPs"), (1.2e18, "1.2 EFLOPs"), (12.0, "12 FLOPs"), (None, "-")]
)
def test_operations_have_a_unit_of_their_size(count, text):
    assert flops(count) == text


def test_a_column_has_the_unit_of_its_largest_value():
    assert [energy_unit([None, 0.0001, 0.0015]).number(kwh) for kwh in (0.0001, 0.0015, None)] == ["0.1", "1.5", "-"]
    assert (energy_unit([]).name, co2_unit([0.01, 5.0]).name, flops_unit([1e8, 9e10]).name) == ("J", "g", "GFLOPs")
