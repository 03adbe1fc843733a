"""Conversion of energy to CO2.

It is applied only when results are reported, so the same results can be reported again for another country or PUE.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kdtune.errors import Fault, SpecError
from kdtune.storage.records import exact

#: Joules in a kilowatt-hour, exactly.
J_PER_KWH = 3_600_000

#: End of the source of an intensity that codecarbon knows.
_FROM_CODECARBON = " (codecarbon's data)"

#: Mean CO2 emission of a new car in the EU in 2018, in grams per kilometre; the paper compares with it.
CAR_G_PER_KM = 120.4


def raw_kwh(energy_uj: float) -> float:
    """Convert energy of the IT equipment from microjoules to kilowatt-hours, without applying a PUE."""
    return energy_uj / 1e6 / J_PER_KWH


@exact
@dataclass(frozen=True)
class Carbon:
    """Factors that convert energy of the IT equipment to CO2.

    Attributes:
        pue: Power usage effectiveness: energy drawn by the building per energy of the IT equipment, at least 1.
        intensity_g_per_kwh: Carbon intensity of the electricity, in grams of CO2 equivalent per kilowatt-hour.
        source: Where the intensity comes from, for display.
        preset: Name of the preset; None without one.
    """

    pue: Annotated[float, Field(gt=0, le=1e6)]
    intensity_g_per_kwh: Annotated[float, Field(ge=0, le=1e9)]
    source: str
    preset: str | None = None

    def kwh(self, energy_uj: float) -> float:
        """Return the kilowatt-hours that the building draws for an energy of the IT equipment in microjoules."""
        return raw_kwh(energy_uj) * self.pue

    def co2_g(self, energy_uj: float) -> float:
        """Return the grams of CO2 equivalent for an energy of the IT equipment in microjoules."""
        return self.kwh(energy_uj) * self.intensity_g_per_kwh

    def as_record(self) -> dict[str, Any]:
        """Return the JSON object that is written to results."""
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """Where the electricity comes from, as far as the source of an intensity tells.

    Attributes:
        country: Name of the country; the whole source if it names none.
        code: ISO 3166 code of three letters; ``ZZZ``, which ISO leaves to its users, for no known country.
        region: State or province; empty if the intensity is that of a country.
    """

    country: str
    code: str = "ZZZ"
    region: str = ""


def place_of(carbon: Carbon) -> Place:
    """Return the place that the source of an intensity names."""
    named, found, _ = carbon.source.rpartition(_FROM_CODECARBON)
    for code, mix in _mixes().items() if found else ():
        country = mix.get("country_name", code)
        if named == country or named.endswith(f", {country}"):
            return Place(country, code, named.removesuffix(country).removesuffix(", "))
    return Place(carbon.source)


#: The figures used by PLOS ONE 2023, e0285668: carbontracker's EU-28 average of 2017 and its PUE.
PAPER = Carbon(
    pue=1.67, intensity_g_per_kwh=294.2060978, source="EU-28 average of 2017, as in the paper", preset="paper"
)


def car_km(co2_g: float) -> float:
    """Return the kilometres that a new car of 2018 drives for an amount of CO2 in grams."""
    return co2_g / CAR_G_PER_KM


def with_changes(
    carbon: Carbon,
    preset: str | None = None,
    country: str | None = None,
    region: str | None = None,
    intensity: float | None = None,
    pue: float | None = None,
) -> Carbon:
    """Return carbon factors with some of them replaced.

    The arguments after ``carbon`` and the errors are those of :func:`resolve_carbon`; a factor that no argument gives
    keeps its value. A preset replaces all factors.

    Args:
        carbon: The factors to start from.
        preset: ``paper`` or None.
        country: ISO 3166 code of three letters.
        region: State or province inside the country.
        intensity: Grams of CO2 equivalent per kilowatt-hour.
        pue: Power usage effectiveness.
    """
    given = resolve_carbon(preset, country, region, intensity, pue)
    if preset is not None:
        return given
    if country is None and intensity is None:
        return carbon if pue is None else replace(carbon, pue=pue, preset=None)
    return given if pue is not None else replace(given, pue=carbon.pue)


def carbon_changes(*arguments: Any) -> Callable[[Carbon], Carbon]:
    """Return a function that replaces some of the carbon factors that a strategy was run with.

    Args:
        *arguments: The arguments of :func:`with_changes` after ``carbon``.

    Raises:
        SpecError: As for :func:`resolve_carbon`. It is raised by this call, so that a wrong argument is reported before
            any results are read.
    """
    resolve_carbon(*arguments)
    return lambda carbon: with_changes(carbon, *arguments)


def resolve_carbon(
    preset: str | None = None,
    country: str | None = None,
    region: str | None = None,
    intensity: float | None = None,
    pue: float | None = None,
) -> Carbon:
    """Return the carbon factors for the given options. No network connection is made.

    Args:
        preset: ``paper`` or None.
        country: ISO 3166 code of three letters, such as ``DEU``.
        region: State or province inside the country, such as ``california``, if codecarbon has data for it.
        intensity: Grams of CO2 equivalent per kilowatt-hour; overrides country and preset.
        pue: Power usage effectiveness; overrides the preset, and is 1 without either.

    Raises:
        SpecError: A value is unknown or out of range. The error lists all faults.
    """
    faults = []
    if preset not in (None, "paper"):
        faults.append(Fault("--preset", "", f"unknown preset {preset!r}; known: paper"))
    if pue is not None and not 1 <= pue <= 10:
        faults.append(Fault("--pue", "", f"must be between 1 and 10, got {pue}"))
    if intensity is not None and not 0 <= intensity <= 5000:
        faults.append(Fault("--intensity", "", f"must be between 0 and 5000 g/kWh, got {intensity}"))
    if region is not None and country is None:
        faults.append(Fault("--region", "", "requires --country"))
    mix = _mix(country, faults) if country is not None else None
    if faults:
        raise SpecError(faults)
    base = PAPER if preset else None
    chosen_pue = pue if pue is not None else (base.pue if base else 1.0)
    # If its intensity or PUE is replaced, the result is no longer that preset.
    label = None if (pue, intensity, country) != (None, None, None) else preset
    if intensity is not None:
        return Carbon(chosen_pue, intensity, "set with --intensity", label)
    if mix is not None:
        grams, source = _national(*mix, region)
        return Carbon(chosen_pue, grams, source, label)
    if base:
        return Carbon(chosen_pue, base.intensity_g_per_kwh, base.source, label)
    return Carbon(chosen_pue, _world_average(), f"world average{_FROM_CODECARBON}", None)


def _world_average() -> float:
    from codecarbon.input import DataSource

    return float(_read(DataSource().carbon_intensity_per_source_path)["world_average"])


def _mixes() -> dict[str, dict[str, Any]]:
    """Return what codecarbon knows of each country's electricity, by code."""
    from codecarbon.input import DataSource

    return _read(DataSource().global_energy_mix_data_path)


def _read(path: str | Path) -> dict[str, Any]:
    # DataSource's own methods read all tables, and import pandas for that, which takes half a second.
    table: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return table


def _mix(country: str, faults: list[Fault]) -> tuple[str, str] | None:
    """Return a country's code and name, or add a fault and return None if codecarbon has no data for it."""
    code, mixes = country.upper(), _mixes()
    if code not in mixes:
        problem = f"no data for {country!r}; use a three-letter ISO code such as DEU"
        faults.append(Fault("--country", "", problem))
        return None
    return code, str(mixes[code].get("country_name", code))


def _national(code: str, name: str, region: str | None) -> tuple[float, str]:
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    emissions, one = Emissions(DataSource()), Energy.from_energy(kWh=1)
    if region is None:
        kg = emissions.get_private_infra_emissions(one, GeoMetadata(country_iso_code=code, country_name=name))
        return kg * 1000, f"{name}{_FROM_CODECARBON}"

    def of(place: str) -> float | None:
        geo = GeoMetadata(country_iso_code=code, country_name=name, region=place)
        try:
            return float(emissions.get_region_emissions(one, geo))
        except Exception:  # codecarbon does not wrap the errors of its table look-ups, so their type is not known
            return None

    # For some countries, codecarbon silently returns the country's figure for an unknown region. This is detected by
    # comparing with the figure for a region that cannot exist.
    regional_kg = of(region.lower())
    if regional_kg is None or regional_kg == of("no such region"):
        raise SpecError(
            [Fault("--region", "", f"no data for {region!r} in {name}; omit it to use the country's figure")]
        )
    return regional_kg * 1000, f"{region}, {name}{_FROM_CODECARBON}"
