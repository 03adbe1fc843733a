"""``result.json``: a strategy's outcome, made from its files and from nothing else."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdtune.distill.recipe import student_recipe
from kdtune.energy.attribution import Account, charge_all
from kdtune.energy.carbon import Carbon, car_km
from kdtune.energy.flops import Workload
from kdtune.energy.ledger import read_folder
from kdtune.energy.sensors import QUALITIES, Hardware
from kdtune.energy.shares import split_integer
from kdtune.errors import ResultsError
from kdtune.files import write_json
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.trials import TrialLog, best, evaluation_window
from kdtune.specs.study import Study

SCHEMA_VERSION = 1


def ledger_summary(folder: Path) -> dict[str, Any] | None:
    """What a ledger folder came to, for an input that strategies share; None where nothing was counted."""
    account = charge_all(read_folder(folder))
    if account.quality is None:
        return None
    return {
        "energy_uj": {**account.buckets, "node_total": account.node_uj},
        "charged_uj": account.charged_uj(),
        "wall_s": account.duration_ns / 1e9,
        "quality": account.quality,
    }


def write_shared(folder: StrategyFolder, study_folder: StudyFolder, teacher: dict[str, Any] | None) -> None:
    """Copy into a strategy's folder what it shares with others, so that the folder can stand alone.

    Args:
        folder: The strategy's.
        study_folder: The study's, where the sessions' ledgers lie.
        teacher: The teacher's record with its energy; None where the strategy uses none.
    """
    sessions = {
        session: summary
        for session in TrialLog.read(folder.trials).sessions
        if (summary := ledger_summary(study_folder.session(session)))
    }
    write_json(folder.shared, {"sessions": sessions, "teacher": teacher})


def read_shared(folder: StrategyFolder) -> dict[str, Any]:
    """What :func:`write_shared` wrote.

    Raises:
        ResultsError: The file is damaged.
    """
    if not folder.shared.exists():
        return {"sessions": {}, "teacher": None}
    return read_document(folder.shared)


def read_document(path: Path) -> dict[str, Any]:
    """A JSON object from a results folder.

    Raises:
        ResultsError: It is missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ResultsError(f"{path}: damaged ({error}); delete it, it is made again from the other files") from None


def build_result(folder: StrategyFolder, carbon: Carbon) -> dict[str, Any]:
    """A strategy's outcome: what it chose, how good that is, and what it cost.

    Args:
        folder: The strategy's.
        carbon: How energy becomes CO2.

    Returns:
        The document of ``result.json``; units are in the keys, accuracies are fractions, and what was not
        measured is None.

    Raises:
        ResultsError: A file is missing or damaged.
    """
    study = folder.read_study()
    log = TrialLog.read(folder.trials)
    account = charge_all(read_folder(folder.ledger))
    shared = read_shared(folder)
    left_out = "idle" if study.attribution == "shared" else None
    sessions_uj = [s["charged_uj"] - s["energy_uj"].get(left_out, 0) for s in shared["sessions"].values()]
    shared_uj = {"session": sum(sessions_uj), "teacher_logits": 0}
    charged_by_repeat = _charge_repeats(study, log, account, sum(shared_uj.values()))
    repeats: list[dict[str, Any]] = []
    for repeat, seed in enumerate(study.seeds()):
        evaluation = log.evaluations.get(repeat)
        chosen = log.trials[evaluation["trial_id"]] if evaluation else best(log.of_repeat(repeat))
        repeats.append(
            {
                "seed": seed,
                "chosen": chosen.point if chosen else None,
                "val_accuracy": chosen.val_accuracy if chosen else None,
                "val_loss": chosen.val_loss if chosen else None,
                "trials": sum(trial.attempts > 0 for trial in log.of_repeat(repeat)),
                "charged_uj": charged_by_repeat[repeat] if account.quality else None,
                "test": evaluation["test"] if evaluation else None,
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "strategy": folder.path.name,
        "status": _status(study, log),
        "repeats": repeats,
        "summary": {
            **_mean_and_std("test_accuracy", [r["test"]["accuracy"] for r in repeats if r["test"]]),
            **_mean_and_std("val_accuracy", [r["val_accuracy"] for r in repeats if r["val_accuracy"] is not None]),
        },
        "cost": _cost(folder, study, log, account, shared, shared_uj, carbon),
        "failures": [
            {"trial_id": trial.id, "seed": trial.seed, "point": trial.point, "error": trial.error}
            for trial in log.trials.values()
            if trial.status == "failed"
        ],
    }


def write_result(folder: StrategyFolder, carbon: Carbon) -> dict[str, Any]:
    """Build the outcome, write ``result.json`` and return it."""
    result = build_result(folder, carbon)
    write_json(folder.result, result)
    return result


def _status(study: Study, log: TrialLog) -> str:
    if log.is_settled(study.repeats) and len(log.evaluations) == study.repeats:
        return "completed"
    return log.status if log.status in ("interrupted", "budget") else "incomplete"


def _mean_and_std(name: str, values: list[float]) -> dict[str, float | None]:
    """Mean, and sample standard deviation where there are at least two values."""
    return {
        f"{name}_mean": statistics.fmean(values) if values else None,
        f"{name}_std": statistics.stdev(values) if len(values) > 1 else None,
    }


def _charge_repeats(study: Study, log: TrialLog, account: Account, shared_uj: int) -> list[int]:
    """What each repeat is charged: its own windows, and an equal part of all that the repeats have in common."""
    own = [
        sum(account.windows.get(window, 0) for trial in log.of_repeat(repeat) for window in trial.windows)
        + sum(
            account.windows.get(evaluation_window(seed, attempt), 0)
            for attempt in range(1, log.evaluation_attempts.get(repeat, 0) + 1)
        )
        for repeat, seed in enumerate(study.seeds())
    ]
    common = _charged_uj(study, account) + shared_uj - sum(own)
    parts = split_integer(common, {str(repeat): 1 for repeat in range(study.repeats)})
    return [uj + parts[str(repeat)] for repeat, uj in enumerate(own)]


def _or_none(of: Callable[[int], float]) -> Callable[[int | None], float | None]:
    return lambda uj: None if uj is None else of(uj)


def _charged_uj(study: Study, account: Account) -> int:
    return account.charged_uj(dedicated=study.attribution == "dedicated")


def _cost(
    folder: StrategyFolder,
    study: Study,
    log: TrialLog,
    account: Account,
    shared: dict[str, Any],
    shared_uj: dict[str, int],
    carbon: Carbon,
) -> dict[str, Any]:
    workload = Workload(**folder.resolved()["workload"])
    nominal = executed = 0
    for trial in log.trials.values():
        with_teacher = student_recipe(study, trial.point).needs_teacher
        nominal += workload.nominal_flops(trial.epochs, with_teacher=with_teacher)
        executed += workload.executed_flops(trial.epochs, teacher_forward=with_teacher)

    # Where nothing was metered everything is null: a 0 would be a measurement.
    metered = account.quality is not None
    charged_uj = _charged_uj(study, account) + sum(shared_uj.values()) if metered else None
    training_uj = account.buckets["trials"] + account.buckets["evaluation"] if metered else None
    # A strategy without a teacher costs nothing for one; a teacher whose cost is unknown makes the sum unknown.
    teacher = shared["teacher"]
    uses_teacher = any(student_recipe(study, trial.point).needs_teacher for trial in log.trials.values())
    teacher_uj = teacher["energy"]["charged_uj"] if teacher and teacher["energy"] else None if uses_teacher else 0
    with_teacher_uj = None if charged_uj is None or teacher_uj is None else charged_uj + teacher_uj
    kwh, co2_g = _or_none(carbon.kwh), _or_none(carbon.co2_g)
    aside = StudyFolder(folder.path.parent).abandoned(folder.path.name)
    qualities = [account.quality, *(session["quality"] for session in shared["sessions"].values())]
    measured = [quality for quality in qualities if quality]
    return {
        "trials": {
            status: sum(trial.status == status for trial in log.trials.values())
            for status in ("completed", "pruned", "failed", "interrupted")
        },
        "gflops_millions": nominal / 1e15,
        "training_flops": executed,
        "energy_uj": {
            bucket: uj if metered else None for bucket, uj in {**account.buckets, "node_total": account.node_uj}.items()
        },
        "shared_uj": shared_uj,
        "gap_uj": account.gap_uj,
        "abandoned_uj": sum(charge_all(read_folder(old.ledger)).charged_uj() for old in aside),
        "charged_kwh": kwh(charged_uj),
        "per_repeat_kwh": None if charged_uj is None else carbon.kwh(charged_uj) / study.repeats,
        "training_kwh": kwh(training_uj),
        "charged_co2_g": co2_g(charged_uj),
        "teacher_kwh": kwh(teacher_uj),
        "with_teacher_kwh": kwh(with_teacher_uj),
        "with_teacher_co2_g": co2_g(with_teacher_uj),
        "car_km": None if charged_uj is None else car_km(carbon.co2_g(charged_uj)),
        "wall_s": account.duration_ns / 1e9,
        "gpu_hours": account.gpu_ns / 3.6e12,
        "quality": max(measured, key=QUALITIES.index, default=None),
        "carbon": carbon.as_record(),
        "hardware": [_describe(hardware) for hardware in account.hardware.values()],
    }


def _describe(hardware: Hardware) -> dict[str, Any]:
    return {
        "node": hardware.node,
        "cpu_model": hardware.cpu_model,
        "cores": hardware.cores,
        "cpu_quality": hardware.cpu_quality,
        "tdp_w": hardware.tdp_uw / 1e6,
        "ram_w": hardware.ram_uw / 1e6,
        "gpus": [
            {"uuid": uuid, "name": name, "quality": hardware.gpu_quality[uuid]} for uuid, name in hardware.gpus.items()
        ],
    }
