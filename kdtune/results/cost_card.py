"""What lies beside the weights: ``cost.json``, a page on what the model cost, and ``emissions.csv`` for codecarbon."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

from kdtune.energy.attribution import FLAGS, charged_buckets
from kdtune.energy.carbon import Carbon, raw_kwh
from kdtune.energy.interval_shares import split_integer
from kdtune.results.cost import of_one_model
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_costs import KINDS, charged_inputs
from kdtune.storage.escaping import for_spreadsheet
from kdtune.storage.files import replaced_atomically, write_json

COST_VERSION = 1

#: Of the least trustworthy source of CPU and GPU; memory is a model in any case.
METHOD = {
    "counter": "CPU and GPUs by energy counters of the hardware, read once a second; memory by a model of constant "
    "power",
    "polled": "GPUs by power that was polled about once a second, times time; memory by a model of constant power",
    "modelled": "a model: busy time times design power, memory at a constant power; not a measurement",
}


def write_cost_files(folder: StrategyFolder, result: dict[str, Any], shared: dict[str, Any]) -> None:
    """Write ``cost.json`` and ``emissions.csv`` beside a strategy's weights, once there are weights.

    Args:
        folder: The strategy's.
        result: Its ``result.json``.
        shared: The sessions and the teacher that it shares with others.
    """
    if not any(folder.path.glob("student*.pt")):
        return
    write_json(folder.path / "cost.json", cost_card(folder, result, shared))
    with replaced_atomically(folder.path / "emissions.csv") as file:
        file.write(emissions_csv(folder, result, shared).encode())


def cost_card(folder: StrategyFolder, result: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """What a strategy's model cost, on which hardware, by which method, and what was abandoned on the way.

    Energy is in kWh, PUE included; ``one_model`` is the mean over models, ``in_all`` everything that was charged. What
    repeats that came to no model took is in both, and shared out evenly among the models.
    """
    cost = result["cost"]
    carbon = Carbon(**cost["carbon"])
    teacher = shared["teacher"]
    parts = _charged_sources(folder, cost, shared)

    def each(value: float | None) -> float | None:
        return of_one_model(value, cost["models"])

    def kwh(uj: int | None) -> float | None:
        return None if uj is None else carbon.kwh(uj)

    return {
        "cost_version": COST_VERSION,
        "study": result["study"],
        "strategy": result["strategy"],
        "status": result["status"],
        "models": [
            {"file": folder.weights(one["seed"], result["repeats"][0]["seed"]).name, "seed": one["seed"]}
            | {"chosen": one["chosen"], "test_accuracy": one["test"]["accuracy"]}
            | {"charged_kwh": kwh(charged_uj)}
            for one, charged_uj in _models(result)
        ],
        "one_model": {
            "charged_kwh": each(cost["charged_kwh"]),
            "charged_co2_g": each(cost["charged_co2_g"]),
            "car_km": each(cost["car_km"]),
            "trials": each(sum(one["trials"] for one in result["repeats"])),
        },
        "in_all": {
            "charged_kwh": cost["charged_kwh"],
            "uncertainty_kwh": kwh(cost["uncertainty_uj"]["charged"]) if cost["uncertainty_uj"] else None,
            "charged_co2_g": cost["charged_co2_g"],
            "by_bucket_kwh": {bucket: kwh(uj) for bucket, uj in cost["energy_uj"].items()},
            "shared_kwh": {what: kwh(uj) for what, uj in cost["shared_uj"].items()},
            "with_teacher_kwh": cost["with_teacher_kwh"],
            "wall_s": cost["wall_s"],
            "gpu_hours": cost["gpu_hours"],
            "training_flops": cost["training_flops"],
        },
        "teacher": teacher and _teacher(teacher, cost, carbon),
        "not_charged": {
            "abandoned_kwh": kwh(cost["abandoned_uj"]),
            # By their ids: another strategy's card may name the same session and the same store.
            "abandoned_parts_kwh": {
                "own": kwh(cost["abandoned_parts_uj"]["own"]),
                **{kind: {name: kwh(uj) for name, uj in cost["abandoned_parts_uj"][kind].items()} for kind in KINDS},
            },
            "gap_kwh": kwh(cost["gap_uj"]),
            "others_on_the_node_kwh": kwh(cost["energy_uj"]["other"]),
        },
        "trials": cost["trials"],
        "hardware": cost["hardware"],
        "method": {
            "quality": cost["quality"],
            "sources": METHOD.get(cost["quality"], "nothing was metered"),
            "charged_by_source_kwh": None if parts is None else {name: kwh(uj) for name, uj in parts.items()},
            "attribution": cost["attribution"],
            "to_be_told": [f"{FLAGS[name]} ({count} times)" for name, count in cost["flags"].items()],
            "versions": folder.versions(),
        },
        "carbon": cost["carbon"],
    }


def _models(result: dict[str, Any]) -> list[tuple[dict[str, Any], int | None]]:
    """The repeats that came to a model, each with its charge in microjoules and its part of the others in it."""
    models = [one for one in result["repeats"] if one["test"]]
    if any(one["charged_uj"] is None for one in result["repeats"]):
        return [(one, None) for one in models]
    lost_uj = sum(one["charged_uj"] for one in result["repeats"] if not one["test"])
    parts = split_integer(lost_uj, {str(one["seed"]): 1 for one in models}) if models else {}
    return [(one, one["charged_uj"] + parts[str(one["seed"])]) for one in models]


def _teacher(teacher: dict[str, Any], cost: dict[str, Any], carbon: Carbon) -> dict[str, Any]:
    """What is known of the teacher's cost: of one that was given, only what measuring it took."""
    given, energy = teacher.get("given"), teacher["energy"]
    return {
        "model": teacher["model"],
        "key": teacher["key"],
        "given_weights": given,
        "kwh": cost["teacher_kwh"],
        "measuring_kwh": carbon.kwh(energy["charged_uj"]) if given and energy else None,
    }


def emissions_csv(folder: StrategyFolder, result: dict[str, Any], shared: dict[str, Any]) -> str:
    """One run in the columns of codecarbon's own ``emissions.csv``; empty where nothing is known.

    Everything that the strategy is charged; energy in kWh and emissions in kg, as codecarbon has them.
    """
    from importlib.metadata import version

    cost, carbon = result["cost"], result["cost"]["carbon"]
    parts = _charged_parts(folder, cost, shared)
    inputs = charged_inputs(shared)
    # Its own time and that of what it shares: energy of both is in it, so power is that of both.
    wall_s = None if cost["wall_s"] is None else cost["wall_s"] + sum(one["wall_s"] for one in inputs)
    total_kwh = cost["charged_kwh"]
    kg = None if cost["charged_co2_g"] is None else cost["charged_co2_g"] / 1000
    hardware = cost["hardware"]
    gpus = [gpu["name"] for one in hardware for gpu in one["gpus"]]

    def kwh(part: str) -> float | None:
        return None if parts is None else raw_kwh(parts.get(part, 0)) * carbon["pue"]

    def watts(part: str) -> float | None:
        used = kwh(part)
        return None if used is None or not wall_s else used * 3.6e6 / wall_s

    known = {
        "timestamp": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds"),
        "project_name": result["study"],
        "run_id": "-".join(shared["sessions"]) or None,
        "experiment_id": f"{result['study']}/{result['strategy']}",
        "duration": wall_s,
        "emissions": kg,
        "emissions_rate": None if kg is None or not wall_s else kg / wall_s,
        **{f"{part}_power": watts(part) for part in ("cpu", "gpu", "ram")},
        **{f"{part}_energy": kwh(part) for part in ("cpu", "gpu", "ram")},
        "energy_consumed": total_kwh,
        "python_version": folder.versions().get("python"),
        "codecarbon_version": version("codecarbon"),
        "cpu_count": sum(one["cores"] for one in hardware) or None,
        "cpu_model": "; ".join(sorted({one["cpu_model"] for one in hardware})) or None,
        "gpu_count": len(gpus),
        "gpu_model": "; ".join(sorted(set(gpus))) or None,
        "tracking_mode": "process" if cost["energy_uj"]["other"] else "machine",
        "on_cloud": "N",
        "pue": carbon["pue"],
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, EMISSIONS_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerow({key: "" if value is None else for_spreadsheet(value) for key, value in known.items()})
    return text.getvalue()


def _charged_parts(folder: StrategyFolder, cost: dict[str, Any], shared: dict[str, Any]) -> dict[str, int] | None:
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


def _charged_sources(folder: StrategyFolder, cost: dict[str, Any], shared: dict[str, Any]) -> dict[str, int] | None:
    """What is charged in microjoules, by what used it and how that is known, such as ``cpu_counter``."""
    if cost["sources_uj"] is None:
        return None
    charged = charged_buckets(dedicated=folder.read_study().is_dedicated)
    sources: dict[str, int] = {}
    for by_bucket in (cost["sources_uj"], *(one["sources_uj"] for one in charged_inputs(shared))):
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
