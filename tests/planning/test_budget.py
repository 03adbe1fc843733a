import pytest

from kdtune.energy.attribution import BUCKETS
from kdtune.energy.carbon import Carbon
from kdtune.errors import BudgetReached
from kdtune.planning.budget import Budget, BudgetWatch

CARBON = Carbon(pue=2.0, intensity_g_per_kwh=500.0, source="a test")

#: A kilowatt-hour of the computers, in microjoules.
KWH = 3_600_000_000_000


def spent(**buckets):
    return {**dict.fromkeys(BUCKETS, 0), **buckets}


def watch(dedicated=True, before_uj=0, **limits) -> BudgetWatch:
    return BudgetWatch(Budget(**limits), CARBON, dedicated=dedicated, before_uj=before_uj)


def test_a_budget_includes_the_pue():
    assert watch(max_kwh=1.0).look(spent(trials=KWH // 2))
    assert not watch(max_kwh=1.0).look(spent(trials=KWH // 2 - 1_000_000))


def test_carbon_is_energy_times_intensity():
    assert watch(max_co2_g=500.0).look(spent(trials=KWH // 2))
    assert not watch(max_co2_g=501.0).look(spent(trials=KWH // 2))


def test_energy_of_others_does_not_count_and_idle_power_only_on_a_dedicated_node():
    assert not watch(max_kwh=1.0).look(spent(other=10 * KWH))
    assert watch(max_kwh=1.0).look(spent(idle=KWH))
    assert not watch(dedicated=False, max_kwh=1.0).look(spent(idle=KWH))


def test_energy_of_earlier_commands_counts():
    assert watch(before_uj=KWH // 4, max_kwh=1.0).look(spent(trials=KWH // 4))


def test_without_a_limit_nothing_is_reached():
    endless = watch()
    assert not endless.limited
    assert not endless.look(spent(trials=10**30))


def test_a_reached_limit_is_reported_with_flag_and_remedy():
    with pytest.raises(BudgetReached, match=r"--max-kwh 1 is reached: 2 kWh; give a larger one") as raised:
        watch(max_kwh=1.0).check(spent(trials=KWH))
    assert raised.value.exit_code == 4


def test_an_excess_is_named_without_being_reached():
    limited = watch(max_kwh=1.0, max_co2_g=2.0)
    assert limited.excess(spent(trials=KWH)) == ("--max-kwh 1", "2 kWh")
    assert limited.excess(spent(trials=KWH // 4)) == ("--max-co2 2", "250 g")
    assert limited.excess(spent()) is None and limited.reached is None


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_limit_has_to_be_greater_than_zero(value):
    faults = Budget(value, value).faults()
    assert [fault.where for fault in faults] == ["--max-kwh", "--max-co2"]


def test_only_given_limits_are_recorded():
    assert Budget(max_co2_g=3.0).as_record() == {"max_co2_g": 3.0}


def readings(monkeypatch, power_w: float, limit_kwh: float, until_s: float = 10_000.0) -> list[float]:
    """When a watch looks, at a constant power, until it has seen the limit reached."""
    now_s, seen = 0.0, []
    monkeypatch.setattr("kdtune.planning.budget.time.monotonic", lambda: now_s)
    watching = watch(max_kwh=limit_kwh)
    while not watching.look(spent(trials=round(now_s * power_w * 1e6 / CARBON.pue))) and now_s < until_s:
        seen.append(now_s)
        now_s += watching.wait_s
    return [*seen, now_s]


def test_a_distant_limit_is_checked_once_a_second(monkeypatch):
    times = readings(monkeypatch, power_w=100.0, limit_kwh=1000.0, until_s=600.0)
    assert len(times) <= 605


def test_a_limit_is_exceeded_by_at_most_the_shortest_wait(monkeypatch):
    at_s = 3.6e6 / 100  # when 100 W have used a kilowatt-hour
    times = readings(monkeypatch, power_w=100.0, limit_kwh=1.0, until_s=1e6)
    assert at_s <= times[-1] <= at_s + 0.06
    assert len(times) <= at_s + 15


def test_without_a_limit_the_meters_are_read_once_a_second():
    assert watch().wait_s == 1.0
