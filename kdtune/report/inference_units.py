"""Units of the tables of inference."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdtune.report.units import Unit, co2_unit, joule_unit, time_unit
from kdtune.results.inference_document import InferenceDocument, NetworkInUse


@dataclass(frozen=True)
class InferenceUnits:
    """The unit of each column of the tables of strategies that were measured together."""

    time: Unit
    energy: Unit
    energy_of_pass: Unit
    co2_of_pass: Unit
    co2_of_million: Unit
    charge: Unit

    @classmethod
    def of(cls, documents: Sequence[InferenceDocument]) -> "InferenceUnits":
        """Return the units that suit the values."""
        first = documents[0]
        networks = (first.teacher, first.student)
        charges = [one for document in documents for one in (document.payback.one_model, document.payback.with_teacher)]
        return cls(
            time=time_unit(one.ms_per_pass / 1e3 for one in networks),
            energy=joule_unit(one.uj_per_image / 1e6 for one in networks),
            energy_of_pass=joule_unit(one.j_per_pass for one in networks),
            co2_of_pass=co2_unit(co2_g_per_pass(first, one) for one in networks),
            co2_of_million=co2_unit(one.co2_g_per_million for one in networks),
            charge=joule_unit(None if one.charged_uj is None else one.charged_uj / 1e6 for one in charges),
        )

    def named(self, columns: Sequence[str], document: InferenceDocument) -> list[str]:
        """Return columns with their units and with the name of the metric that decided the study."""
        units = {name: unit.name for name, unit in vars(self).items()}
        return [name.replace("acc. %", document.deciding.heading).format(**units) for name in columns]


def co2_g_per_pass(document: InferenceDocument, network: NetworkInUse) -> float:
    """Return the CO2 of a pass of a network over the test images, in grams."""
    return network.co2_g_per_million * document.test_images / 1e6
