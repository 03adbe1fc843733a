import socket
from dataclasses import replace

import pytest

from kdtune.energy.carbon import Carbon, car_km, carbon_changes, place_of, resolve_carbon, with_changes
from kdtune.errors import SpecError

KWH_UJ = 3_600_000_000_000


def test_a_kilowatt_hour_is_3_6_million_joules():
    assert Carbon(1.0, 475.0, "").kwh(KWH_UJ) == pytest.approx(1.0, rel=1e-12)


def test_carbon_is_energy_times_pue_times_intensity():
    assert Carbon(1.5, 200.0, "").co2_g(KWH_UJ // 2) == pytest.approx(150.0, rel=1e-12)


def test_the_papers_preset_reproduces_the_papers_figures():
    paper = resolve_carbon(preset="paper")
    # The paper's 0.2099 kWh include its PUE of 1.67, so the IT equipment used 0.1257 kWh.
    it_uj = round(0.2099 / 1.67 * KWH_UJ)
    assert paper.kwh(it_uj) == pytest.approx(0.2099, abs=5e-5)
    assert paper.co2_g(it_uj) == pytest.approx(61.76, abs=0.02)


def test_the_papers_car_emits_120_4_grams_per_kilometre():
    assert car_km(120.4) == pytest.approx(1.0)
    assert car_km(9235.0) == pytest.approx(76.70, abs=0.01)


def test_the_default_is_the_world_average_with_a_pue_of_one():
    carbon = resolve_carbon()
    assert (carbon.pue, carbon.intensity_g_per_kwh, carbon.preset) == (1.0, 475.0, None)
    assert "world" in carbon.source


def test_a_country_has_its_own_intensity():
    from codecarbon.input import DataSource

    mixes = DataSource().get_global_energy_mix_data()
    for code, name in (("DEU", "Germany"), ("FRA", "France")):
        carbon = resolve_carbon(country=code)
        assert carbon.intensity_g_per_kwh == pytest.approx(mixes[code]["carbon_intensity"])
        assert name in carbon.source
    assert resolve_carbon(country="FRA").intensity_g_per_kwh < 100 < resolve_carbon(country="DEU").intensity_g_per_kwh


def test_a_country_code_may_be_in_lower_case():
    assert resolve_carbon(country="deu") == resolve_carbon(country="DEU")


def test_a_region_has_its_own_intensity():
    from codecarbon.input import DataSource

    pounds_per_mwh = DataSource().get_country_emissions_data("usa")["california"]["emissions"]
    carbon = resolve_carbon(country="USA", region="California")
    assert carbon.intensity_g_per_kwh == pytest.approx(pounds_per_mwh * 0.45359237, rel=1e-3)
    assert "California" in carbon.source


def test_a_region_by_its_mix_and_a_bidding_zone_have_their_own_intensity():
    assert resolve_carbon(country="CAN", region="quebec").intensity_g_per_kwh < 20
    assert resolve_carbon(country="SWE", region="SE1") != resolve_carbon(country="SWE")


def test_a_given_intensity_overrides_country_and_preset():
    carbon = resolve_carbon(preset="paper", country="DEU", intensity=33.0)
    assert (carbon.intensity_g_per_kwh, carbon.pue) == (33.0, 1.67)
    assert "--intensity" in carbon.source


def test_country_and_pue_override_the_preset():
    carbon = resolve_carbon(preset="paper", country="DEU", pue=1.2)
    assert carbon.pue == 1.2
    assert carbon.intensity_g_per_kwh == resolve_carbon(country="DEU").intensity_g_per_kwh


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"preset": "papers"}, "--preset"),
        ({"country": "XXX"}, "--country"),
        ({"country": "Germany"}, "--country"),
        ({"country": "USA", "region": "atlantis"}, "--region"),
        ({"country": "CAN", "region": "atlantis"}, "--region"),
        ({"country": "DEU", "region": "bavaria"}, "--region"),
        ({"region": "california"}, "--region"),
        ({"pue": 0.99}, "--pue"),
        ({"pue": 10.01}, "--pue"),
        ({"pue": float("nan")}, "--pue"),
        ({"intensity": -0.1}, "--intensity"),
        ({"intensity": 5001.0}, "--intensity"),
        ({"intensity": float("inf")}, "--intensity"),
    ],
)
def test_unknown_and_out_of_range_values_are_refused_with_their_flag(given, flag):
    with pytest.raises(SpecError) as error:
        resolve_carbon(**given)
    assert [fault.where for fault in error.value.faults] == [flag]


@pytest.mark.parametrize(("country", "region"), [("SWE", "atlantis"), ("CHN", "atlantis")])
def test_an_unknown_region_of_a_country_with_regions_is_refused(country, region):
    with pytest.raises(SpecError, match="--region"):
        resolve_carbon(country=country, region=region)


def test_all_faults_are_reported_at_once():
    with pytest.raises(SpecError) as error:
        resolve_carbon(preset="x", pue=0.0, intensity=-1.0, region="r")
    assert {fault.where for fault in error.value.faults} == {"--preset", "--pue", "--intensity", "--region"}


@pytest.mark.parametrize("given", [{"pue": 1.0}, {"pue": 10.0}, {"intensity": 0.0}, {"intensity": 5000.0}])
def test_the_ends_of_the_ranges_are_allowed(given):
    carbon = resolve_carbon(**given)
    for key, value in given.items():
        assert value == {"pue": carbon.pue, "intensity": carbon.intensity_g_per_kwh}[key]


def test_no_energy_is_no_carbon():
    assert resolve_carbon(preset="paper").co2_g(0) == 0


def test_no_network_connection_is_made(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("tried to reach the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert resolve_carbon(country="DEU").intensity_g_per_kwh > 0
    assert resolve_carbon(country="USA", region="texas").intensity_g_per_kwh > 0
    assert resolve_carbon().intensity_g_per_kwh > 0


def test_factors_that_are_not_given_keep_their_values():
    french = resolve_carbon(country="FRA", pue=1.5)
    assert with_changes(french, pue=1.2) == replace(french, pue=1.2)
    american = with_changes(french, country="USA")
    assert american.pue == 1.5 and american.intensity_g_per_kwh == resolve_carbon(country="USA").intensity_g_per_kwh
    assert with_changes(french, intensity=100.0, pue=1.0) == resolve_carbon(intensity=100.0, pue=1.0)
    assert with_changes(french, preset="paper") == resolve_carbon("paper")
    assert with_changes(french) == french


def test_a_preset_whose_pue_is_replaced_loses_its_name():
    assert with_changes(resolve_carbon("paper"), pue=1.0).preset is None


def test_changes_are_validated_before_they_are_applied():
    french = resolve_carbon(country="FRA")
    assert carbon_changes(None, None, None, None, 1.2)(french) == with_changes(french, pue=1.2)
    assert carbon_changes("paper", None, None, None, None)(french) == resolve_carbon("paper")
    with pytest.raises(SpecError, match="--pue"):
        carbon_changes(None, None, None, None, 0.5)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"country": "FRA"}, ("France", "FRA", "")),
        ({"country": "USA", "region": "california"}, ("United States", "USA", "california")),
        ({}, ("world average (codecarbon's data)", "ZZZ", "")),
        ({"intensity": 100.0}, ("set with --intensity", "ZZZ", "")),
        ({"preset": "paper"}, ("EU-28 average of 2017, as in the paper", "ZZZ", "")),
    ],
)
def test_the_source_of_an_intensity_names_its_place(given, place):
    found = place_of(resolve_carbon(**given))
    assert (found.country, found.code, found.region) == place
