"""What lies beside the weights: ``cost.json``, a page on what the model cost, and ``emissions.csv`` for codecarbon."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kdtune.energy.attribution import FLAGS, charged_buckets
from kdtune.energy.carbon import Carbon
from kdtune.energy.interval_shares import split_integer
from kdtune.results.cost_document import Cost
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_document import SharedInputs, Teacher
from kdtune.results.strategy_result import Repeat, StrategyResult
from kdtune.storage.escaping import for_spreadsheet
from kdtune.storage.files import replaced_atomically, write_json
from kdtune.storage.records import as_record

COST_VERSION = 1

#: Of the least trustworthy source of CPU and GPU; memory is a model in any case.
METHOD = {
    "counter": "CPU and GPUs by energy counters of the hardware, read once a second; memory by a model of constant "
    "power",
    "polled": "GPUs by power that was polled about once a second, times time; memory by a model of constant power",
    "modelled": "a model: busy time times design power, memory at a constant power; not a measurement",
}


def write_cost_files(folder: StrategyFolder, result: StrategyResult, shared: SharedInputs) -> None:
    """Write ``cost.json`` and ``emissions.csv`` beside a strategy's weights, once there are weights.

    Args:
        folder: The strategy's.
        result: Its outcome.
        shared: The sessions and the teacher that it shares with others.
    """
    if not any(folder.path.glob("student*.pt")):
        return
    write_json(folder.path / "cost.json", cost_card(folder, result, shared))
    with replaced_atomically(folder.path / "emissions.csv") as file:
        file.write(emissions_csv(folder, result, shared).encode())


def cost_card(folder: StrategyFolder, result: StrategyResult, shared: SharedInputs) -> dict[str, Any]:
    """What a strategy's model cost, on which hardware, by which method, and what was abandoned on the way.

    Energy is in kWh, PUE included; ``one_model`` is the mean over models, ``in_all`` everything that was charged. What
    repeats that came to no model took is in both, and shared out evenly among the models.
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
        "teacher": shared.teacher and _teacher(shared.teacher, cost),
        "not_charged": {
            "abandoned_kwh": kwh(cost.abandoned_uj),
            # By their ids: another strategy's card may name the same session and the same store.
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
    """How the energy is known."""
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
    """The repeats that came to a model, each with its charge in microjoules and its part of the others in it."""
    models = [one for one in result.repeats if one.test]
    charged_uj = {one.seed: one.charged_uj for one in result.repeats if one.charged_uj is not None}
    if len(charged_uj) < len(result.repeats):
        return [(one, None) for one in models]
    lost_uj = sum(charged_uj[one.seed] for one in result.repeats if not one.test)
    parts = split_integer(lost_uj, {str(one.seed): 1 for one in models}) if models else {}
    return [(one, charged_uj[one.seed] + parts[str(one.seed)]) for one in models]


def _teacher(teacher: Teacher, cost: Cost) -> dict[str, Any]:
    """What is known of the teacher's cost: of one that was given, only what measuring it took."""
    measured = teacher.given and teacher.energy
    return {
        "model": teacher.model,
        "key": teacher.key,
        "given_weights": teacher.given,
        "kwh": cost.teacher_kwh,
        "measuring_kwh": cost.carbon.kwh(measured.charged_uj) if measured else None,
    }


def emissions_csv(folder: StrategyFolder, result: StrategyResult, shared: SharedInputs) -> str:
    """One run in the columns of codecarbon's own ``emissions.csv``; empty where nothing is known.

    Everything that the strategy is charged; energy in kWh and emissions in kg, as codecarbon has them.
    """
    from importlib.metadata import version

    cost = result.cost
    parts = _charged_parts(folder, cost, shared)
    # Its own time and that of what it shares: energy of both is in it, so power is that of both.
    wall_s = None if cost.wall_s is None else cost.wall_s + sum(one.wall_s for one in shared.charged_inputs)
    kg = None if cost.charged_co2_g is None else cost.charged_co2_g / 1000
    gpus = [gpu.name for node in cost.hardware for gpu in node.gpus]

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
    """What is charged in microjoules, by ``cpu``, ``gpu`` and ``ram``."""
    sources = _charged_sources(folder, cost, shared)
    if sources is None:
        return None
    parts: dict[str, int] = {}
    for source, uj in sources.items():
        part = source.partition("_")[0]
        part = "cpu" if part == "lump" else part  # a second that a gap was charged: codecarbon has no such part
        parts[part] = parts.get(part, 0) + uj
    return parts


def _charged_sources(folder: StrategyFolder, cost: Cost, shared: SharedInputs) -> dict[str, int] | None:
    """What is charged in microjoules, by what used it and how that is known, such as ``cpu_counter``."""
    if cost.sources_uj is None:
        return None
    charged = charged_buckets(dedicated=folder.read_study().is_dedicated)
    sources: dict[str, int] = {}
    for by_bucket in (cost.sources_uj, *(one.sources_uj for one in shared.charged_inputs)):
        for bucket in charged:
            for source, uj in by_bucket[bucket].items():
                sources[source] = sources.get(source, 0) + uj
    return sources


#: codecarbon 3.3's columns (``EmissionsData``), in its order; a test holds them against the installed release.
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
