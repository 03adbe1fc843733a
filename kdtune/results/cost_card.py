"""The files about cost beside a model's weights: ``cost.json``, and ``emissions.csv`` in the format of codecarbon."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kdtune.energy.attribution import FLAGS, charged_buckets
from kdtune.energy.carbon import Carbon, place_of
from kdtune.energy.interval_shares import split_integer
from kdtune.results.cost_document import Cost
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_document import SharedInputs, Teacher
from kdtune.results.strategy_result import Repeat, StrategyResult
from kdtune.storage.escaping import for_spreadsheet
from kdtune.storage.files import replaced_atomically, write_json
from kdtune.storage.records import as_record

COST_VERSION = 1

#: Description of the least reliable source of CPU and GPU energy. The energy of memory is always modelled.
METHOD = {
    "counter": "CPU and GPUs by energy counters of the hardware, read once a second; memory by a model of constant "
    "power",
    "polled": "GPUs by power that was polled about once a second, times time; memory by a model of constant power",
    "modelled": "a model: busy time times design power, memory at a constant power; not a measurement",
}


def write_cost_files(folder: StrategyFolder, result: StrategyResult, shared: SharedInputs) -> None:
    """Write ``cost.json`` and ``emissions.csv`` if the strategy's folder contains weights.

    Args:
        folder: The strategy's folder.
        result: The strategy's result.
        shared: Inputs that the strategy shares with others.
    """
    if not any(folder.path.glob("student*.pt")):
        return
    write_json(folder.path / "cost.json", cost_card(folder, result, shared))
    with replaced_atomically(folder.path / "emissions.csv") as file:
        file.write(emissions_csv(folder, result, shared).encode())


def cost_card(folder: StrategyFolder, result: StrategyResult, shared: SharedInputs) -> dict[str, Any]:
    """Return the content of ``cost.json``: what a strategy's models cost, on which hardware, and by which method.

    Energy is in kWh and includes the PUE. ``one_model`` is the mean over models, and ``in_all`` is the whole charge.
    Both include the energy of repeats that produced no model, divided evenly between the models. ``objective`` and
    ``test_objective`` are present if another metric than the accuracy decided the study; see :func:`_teachers` too.
    """
    cost, kwh = result.cost, _kwh_of(result.cost.carbon)
    return {
        "cost_version": COST_VERSION,
        "study": result.study,
        "strategy": result.strategy,
        "status": result.status,
        "models": [
            {
                "file": folder.weights(one.seed, result.repeats[0].seed).name,
                "seed": one.seed,
                "chosen": one.chosen,
                "test_accuracy": one.test_accuracy,
                **({"objective": result.objective, "test_objective": one.test_objective} if result.objective else {}),
                "charged_kwh": kwh(charged_uj),
            }
            for one, charged_uj in _models(result)
        ],
        "one_model": {
            "charged_kwh": cost.of_one_model(cost.charged_kwh),
            "charged_co2_g": cost.of_one_model(cost.charged_co2_g),
            "car_km": cost.of_one_model(cost.car_km),
            "trials": cost.of_one_model(result.trials),
        },
        "in_all": {
            "charged_kwh": cost.charged_kwh,
            "uncertainty_kwh": kwh(cost.uncertainty_uj["charged"]) if cost.uncertainty_uj else None,
            "charged_co2_g": cost.charged_co2_g,
            "by_bucket_kwh": {bucket: kwh(uj) for bucket, uj in cost.energy_uj.items()},
            "shared_kwh": {what: kwh(uj) for what, uj in as_record(cost.shared_uj).items()},
            "with_teacher_kwh": cost.with_teacher_kwh,
            "wall_s": cost.wall_s,
            "gpu_hours": cost.gpu_hours,
            "training_flops": cost.training_flops,
        },
        **_teachers(cost, shared),
        "not_charged": {
            "abandoned_kwh": kwh(cost.abandoned_uj),
            # By id, since another strategy's file may contain the same session or the same logits.
            "abandoned_parts_kwh": {
                "own": kwh(cost.abandoned_parts_uj.own),
                **{
                    kind: {name: kwh(uj) for name, uj in by_id.items()}
                    for kind, by_id in cost.abandoned_parts_uj.inputs.items()
                },
            },
            "gap_kwh": kwh(cost.gap_uj),
            "others_on_the_node_kwh": kwh(cost.energy_uj["other"]),
        },
        "trials": as_record(cost.trials),
        "hardware": as_record(cost.hardware),
        "method": _method(folder, cost, shared),
        "carbon": as_record(cost.carbon),
    }


def _method(folder: StrategyFolder, cost: Cost, shared: SharedInputs) -> dict[str, Any]:
    """Return how the energy was obtained."""
    kwh, sources = _kwh_of(cost.carbon), _charged_sources(folder, cost, shared)
    return {
        "quality": cost.quality,
        "sources": METHOD[cost.quality] if cost.quality else "nothing was metered",
        "charged_by_source_kwh": None if sources is None else {name: kwh(uj) for name, uj in sources.items()},
        "attribution": cost.attribution,
        "to_be_told": [f"{FLAGS[name]} ({count} times)" for name, count in cost.flags.items()],
        "versions": folder.versions(),
    }


def _kwh_of(carbon: Carbon) -> Callable[[int | None], float | None]:
    return lambda uj: None if uj is None else carbon.kwh(uj)


def _models(result: StrategyResult) -> list[tuple[Repeat, int | None]]:
    """Return the repeats that produced a model, each with its charge in microjoules.

    The charge of repeats that produced no model is divided evenly between the others.
    """
    models = [one for one in result.repeats if one.test]
    charged_uj = {one.seed: one.charged_uj for one in result.repeats if one.charged_uj is not None}
    if len(charged_uj) < len(result.repeats):
        return [(one, None) for one in models]
    lost_uj = sum(charged_uj[one.seed] for one in result.repeats if not one.test)
    parts = split_integer(lost_uj, {str(one.seed): 1 for one in models}) if models else {}
    return [(one, charged_uj[one.seed] + parts[str(one.seed)]) for one in models]


def _teachers(cost: Cost, shared: SharedInputs) -> dict[str, Any]:
    """Return the cost of the teacher; for repeats with teachers of their own, the sums over them, and each of them.

    For a teacher whose weights the user gave, only its evaluation is known.
    """
    if not shared.mean_teacher:
        return {"teacher": None}
    kwh, each = _kwh_of(cost.carbon), list(shared.teachers.values())
    measuring_uj = [one.energy.charged_uj for one in each if one.given and one.energy]
    teacher = _teacher(shared.mean_teacher, cost.teacher_kwh, kwh(sum(measuring_uj)) if measuring_uj else None)
    if len(each) == 1:
        return {"teacher": teacher}
    rows = []
    for one in each:
        spent = kwh(one.energy.charged_uj) if one.energy else None
        rows.append(_teacher(one, None if one.given else spent, spent if one.given else None))
    return {"teacher": teacher, "teachers": rows}


def _teacher(teacher: Teacher, kwh: float | None, measuring_kwh: float | None) -> dict[str, Any]:
    return {
        "model": teacher.model,
        "key": teacher.key,
        "given_weights": teacher.given,
        "kwh": kwh,
        "measuring_kwh": measuring_kwh,
    }


def emissions_csv(folder: StrategyFolder, result: StrategyResult, shared: SharedInputs) -> str:
    """Return the strategy's cost in the format of codecarbon's ``emissions.csv``, with one row.

    It covers everything that the strategy is charged. Energy is in kWh and emissions are in kg, as in codecarbon's
    files. Unknown values are empty, but for the country, whose code carbonboard needs.
    """
    from importlib.metadata import version

    cost = result.cost
    parts = _charged_parts(folder, cost, shared)
    # The energy includes that of shared inputs, so the time does too.
    wall_s = None if cost.wall_s is None else cost.wall_s + sum(one.wall_s for one in shared.charged_inputs)
    kg = None if cost.charged_co2_g is None else cost.charged_co2_g / 1000
    gpus = [gpu.name for node in cost.hardware for gpu in node.gpus]
    place = place_of(cost.carbon)

    def kwh(part: str) -> float | None:
        return None if parts is None else cost.carbon.kwh(parts.get(part, 0))

    def watts(part: str) -> float | None:
        used = kwh(part)
        return None if used is None or not wall_s else used * 3.6e6 / wall_s

    known = {
        "timestamp": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds"),
        "project_name": result.study,
        "run_id": "-".join(shared.sessions) or None,
        "experiment_id": f"{result.study}/{result.strategy}",
        "duration": wall_s,
        "emissions": kg,
        "emissions_rate": None if kg is None or not wall_s else kg / wall_s,
        **{f"{part}_power": watts(part) for part in ("cpu", "gpu", "ram")},
        **{f"{part}_energy": kwh(part) for part in ("cpu", "gpu", "ram")},
        "energy_consumed": cost.charged_kwh,
        "country_name": place.country,
        "country_iso_code": place.code,
        "region": place.region,
        "python_version": folder.versions().get("python"),
        "codecarbon_version": version("codecarbon"),
        "cpu_count": sum(node.cores for node in cost.hardware) or None,
        "cpu_model": "; ".join(sorted({node.cpu_model for node in cost.hardware})) or None,
        "gpu_count": len(gpus),
        "gpu_model": "; ".join(sorted(set(gpus))) or None,
        "tracking_mode": "process" if cost.energy_uj["other"] else "machine",
        "on_cloud": "N",
        "pue": cost.carbon.pue,
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, EMISSIONS_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerow({key: "" if value is None else for_spreadsheet(value) for key, value in known.items()})
    return text.getvalue()


def _charged_parts(folder: StrategyFolder, cost: Cost, shared: SharedInputs) -> dict[str, int] | None:
    """Return the charged energy in microjoules by ``cpu``, ``gpu`` and ``ram``."""
    sources = _charged_sources(folder, cost, shared)
    if sources is None:
        return None
    parts: dict[str, int] = {}
    for source, uj in sources.items():
        part = source.partition("_")[0]
        part = "cpu" if part == "lump" else part  # codecarbon has no column for the estimated second of a gap
        parts[part] = parts.get(part, 0) + uj
    return parts


def _charged_sources(folder: StrategyFolder, cost: Cost, shared: SharedInputs) -> dict[str, int] | None:
    """Return the charged energy in microjoules by device and by how it was obtained, such as ``cpu_counter``."""
    if cost.sources_uj is None:
        return None
    charged = charged_buckets(dedicated=folder.read_study().is_dedicated)
    sources: dict[str, int] = {}
    for by_bucket in (cost.sources_uj, *(one.sources_uj for one in shared.charged_inputs)):
        for bucket in charged:
            for source, uj in by_bucket[bucket].items():
                sources[source] = sources.get(source, 0) + uj
    return sources


#: Columns of codecarbon 3.3 (``EmissionsData``) in their order; a test compares them with the installed release.
EMISSIONS_COLUMNS = (
    "timestamp",
    "project_name",
    "run_id",
    "experiment_id",
    "duration",
    "emissions",
    "emissions_rate",
    "cpu_power",
    "gpu_power",
    "ram_power",
    "cpu_energy",
    "gpu_energy",
    "ram_energy",
    "energy_consumed",
    "water_consumed",
    "country_name",
    "country_iso_code",
    "region",
    "cloud_provider",
    "cloud_region",
    "os",
    "python_version",
    "codecarbon_version",
    "cpu_count",
    "cpu_model",
    "gpu_count",
    "gpu_model",
    "longitude",
    "latitude",
    "ram_total_size",
    "tracking_mode",
    "cpu_utilization_percent",
    "gpu_utilization_percent",
    "ram_utilization_percent",
    "ram_used_gb",
    "on_cloud",
    "pue",
    "wue",
)
