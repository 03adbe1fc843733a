"""Notes on images that were made from the teacher."""

from collections.abc import Sequence

from kdtune.energy.carbon import Carbon
from kdtune.report import units
from kdtune.report.number_formats import percent, significant
from kdtune.results.strategy_result import StrategyResult
from kdtune.results.synthetic_document import SyntheticImagesResult
from kdtune.storage.wording import counted


def synthetic_images_notes(results: Sequence[StrategyResult], carbon: Carbon) -> list[str]:
    """Return notes on the images, on what strategies chose by, and on the energy and FLOPs of making the images."""
    lines: list[str] = []
    for one in dict.fromkeys(result.synthetic for result in results):
        labels = [result.strategy for result in results if result.synthetic == one]
        lines += [_of_images(one, labels), _of_selection(one)] if one else []
    charged = {(one.cost.shared_uj.synthesis, one.cost.synthesis_flops) for one in results if one.synthetic}
    for energy_uj, flops in sorted(charged, key=str):
        operations = "" if not flops else f" Making them took {units.flops(flops)}, which no column contains."
        kwh = None if energy_uj is None else carbon.kwh(energy_uj)
        lines.append(
            "The images were made once for all trainings. Every strategy is charged for them as if it had run alone, "
            f"outside 'training only': {units.energy(kwh)}.{operations}"
        )
    own = {one.strategy: one.cost.trial_synthesis_uj for one in results if one.cost.trial_synthesis_uj is not None}
    if own:
        spent = ", ".join(f"{name} {units.energy(carbon.kwh(energy_uj))}" for name, energy_uj in own.items())
        lines.append(f"Each training made further images against its own student, within 'training only': {spent}.")
    return lines


def _of_images(one: SyntheticImagesResult, labels: Sequence[str]) -> str:
    known = ""
    if one.confidence is not None:
        known = (
            f" The teacher's mean confidence in them is {percent(one.confidence)} %, {percent(one.target_agreement)} % "
            f"are of the class that they were made for, and two of them differ by {significant(one.diversity)} of the "
            "range of a pixel."
        )
    seen = f"{counted(one.images, 'image')} from the teacher ({one.method}), none real"
    return f"Students of {', '.join(labels)} saw {seen}.{known}"


def _of_selection(one: SyntheticImagesResult) -> str:
    if one.selection == "synthetic":
        held_out = counted(one.held_out, "image")
        return f"val. acc. is the agreement with the teacher on {held_out} that were held out, not accuracy."
    return "NOT DATA-FREE: temperatures were chosen by real, labelled validation images (selection = validation)."
