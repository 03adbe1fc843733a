"""From energy to carbon: applied when reporting only, so that a report can be made again for another place."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from kdtune.errors import Fault, SpecError
from kdtune.storage.records import exact

#: Joules in a kilowatt-hour, exactly.
J_PER_KWH = 3_600_000

#: Grams of CO2 a kilometre of a new car in the EU emitted in 2018: what the paper compares with.
CAR_G_PER_KM = 120.4


def raw_kwh(energy_uj: float) -> float:
    """Kilowatt-hours of the computers themselves, without what the building adds."""
    return energy_uj / 1e6 / J_PER_KWH


@exact
@dataclass(frozen=True)
class Carbon:
    """How energy at the sockets becomes CO2.

    Attributes:
        pue: Power usage effectiveness: what the building draws for each joule of the computers, at least 1.
        intensity_g_per_kwh: Grams of CO2 equivalent emitted for a kilowatt-hour.
        source: Where the intensity comes from.
        preset: Name of the preset, None without one.
    """

    pue: Annotated[float, Field(gt=0, le=1e6)]
    intensity_g_per_kwh: Annotated[float, Field(ge=0, le=1e9)]
    source: str
    preset: str | None = None

    def kwh(self, energy_uj: float) -> float:
        """Kilowatt-hours drawn by the building for so many microjoules of the computers."""
        return raw_kwh(energy_uj) * self.pue

    def co2_g(self, energy_uj: float) -> float:
        """Grams of CO2 equivalent for so many microjoules of the computers."""
        return self.kwh(energy_uj) * self.intensity_g_per_kwh

    def as_record(self) -> dict[str, Any]:
        """As it stands in results."""
        return asdict(self)


#: carbontracker's EU-28 average of 2017 and its PUE: what PLOS ONE 2023, e0285668, used.
PAPER = Carbon(
    pue=1.67, intensity_g_per_kwh=294.2060978, source="EU-28 average of 2017, as in the paper", preset="paper"
)


def car_km(co2_g: float) -> float:
    """Kilometres that a new car of 2018 drives for so much CO2."""
    return co2_g / CAR_G_PER_KM


def changed(
    carbon: Carbon,
    preset: str | None = None,
    country: str | None = None,
    region: str | None = None,
    intensity: float | None = None,
    pue: float | None = None,
) -> Carbon:
    """Other figures to report with, in which what is not given stays as it was; see :func:`resolve`."""
    asked = resolve(preset, country, region, intensity, pue)
    if preset is not None:
        return asked
    if country is None and intensity is None:
        return carbon if pue is None else replace(carbon, pue=pue, preset=None)
    return asked if pue is not None else replace(asked, pue=carbon.pue)


def changing(*asked: Any) -> Callable[[Carbon], Carbon]:
    """What makes other figures of those that a strategy was run with; see :func:`changed`, which has the arguments.

    Raises:
        SpecError: As :func:`resolve`, and now: a wrong argument is told before anything else is looked at.
    """
    resolve(*asked)
    return lambda carbon: changed(carbon, *asked)


def resolve(
    preset: str | None = None,
    country: str | None = None,
    region: str | None = None,
    intensity: float | None = None,
    pue: float | None = None,
) -> Carbon:
    """The figures to report with. Makes no network connection.

    Args:
        preset: ``paper`` or None.
        country: ISO 3166 code of three letters, such as ``DEU``.
        region: State or province inside the country, such as ``california``, where codecarbon's data have it.
        intensity: Grams of CO2 equivalent a kilowatt-hour; goes before country and preset.
        pue: Goes before the preset; 1 without either.

    Raises:
        SpecError: A value is unknown or out of range; all faults at once.
    """
    faults = []
    if preset not in (None, "paper"):
        faults.append(Fault("--preset", "", f"unknown preset {preset!r}; known: paper"))
    if pue is not None and not 1 <= pue <= 10:
        faults.append(Fault("--pue", "", f"has to lie in [1, 10], got {pue}"))
    if intensity is not None and not 0 <= intensity <= 5000:
        faults.append(Fault("--intensity", "", f"has to lie in [0, 5000] g/kWh, got {intensity}"))
    if region is not None and country is None:
        faults.append(Fault("--region", "", "needs --country too"))
    mix = _mix(country, faults) if country is not None else None
    if faults:
        raise SpecError(faults)
    base = PAPER if preset else None
    chosen_pue = pue if pue is not None else (base.pue if base else 1.0)
    # A preset whose intensity or PUE was replaced is that preset no more.
    label = None if (pue, intensity, country) != (None, None, None) else preset
    if intensity is not None:
        return Carbon(chosen_pue, intensity, "given by --intensity", label)
    if mix is not None:
        grams, source = _national(*mix, region)
        return Carbon(chosen_pue, grams, source, label)
    if base:
        return Carbon(chosen_pue, base.intensity_g_per_kwh, base.source, label)
    return Carbon(chosen_pue, _world_average(), "world average (codecarbon's data)", None)


def _world_average() -> float:
    from codecarbon.input import DataSource

    return float(DataSource().get_carbon_intensity_per_source_data()["world_average"])


def _mix(country: str, faults: list[Fault]) -> tuple[str, str] | None:
    """A country's code and name; a fault where codecarbon has no data for it."""
    from codecarbon.input import DataSource

    code = country.upper()
    mixes = DataSource().get_global_energy_mix_data()
    if code not in mixes:
        problem = f"no data for {country!r}; give a three-letter ISO code such as DEU"
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
        return kg * 1000, f"{name} (codecarbon's data)"

    def of(place: str) -> float | None:
        geo = GeoMetadata(country_iso_code=code, country_name=name, region=place)
        try:
            return float(emissions.get_region_emissions(one, geo))
        except Exception:  # codecarbon raises whatever its tables' look-up raises
            return None

    # For some countries codecarbon silently takes the whole country's figure for a region that it does not know:
    # the figure that it gives for a name that cannot exist.
    regional_kg = of(region.lower())
    if regional_kg is None or regional_kg == of("no such region"):
        raise SpecError([Fault("--region", "", f"no data for {region!r} in {name}; leave it out for the country")])
    return regional_kg * 1000, f"{region}, {name} (codecarbon's data)"
