"""The ``cost`` of a result: what was used, who is charged, and how well that is known."""

from collections.abc import Callable, Mapping
from typing import Any

from kdtune.energy.attribution import Account, charged_of
from kdtune.energy.carbon import Carbon, car_km
from kdtune.energy.ledger import read_folder
from kdtune.energy.sensors.node import QUALITIES, Hardware
from kdtune.energy.several_nodes import charge_all
from kdtune.energy.uncertainty import uncertainty_uj
from kdtune.results.abandoned import abandoned_parts, sum_of_parts
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_costs import charged_inputs, charged_parts
from kdtune.results.trial_log import EVALUATION, TrialLog
from kdtune.specs.study import Study


def _or_none(of: Callable[[int], float]) -> Callable[[int | None], float | None]:
    return lambda uj: None if uj is None else of(uj)


def of_one_model(total: float | None, models: int) -> float | None:
    """What of a strategy's total one model has to answer for; None where there is no model, or no total.

    A repeat that came to no model makes the others dearer.
    """
    return None if total is None or not models else total / models


def cost_of(
    folder: StrategyFolder,
    study: Study,
    log: TrialLog,
    account: Account,
    shared: dict[str, Any],
    carbon: Carbon,
) -> dict[str, Any]:
    """What a strategy cost. Where nothing was metered everything is null: a 0 would be a measurement.

    Args:
        folder: The strategy's.
        study: As it ran.
        log: The strategy's trials.
        account: Of the strategy's ledgers.
        shared: The sessions and the teacher that it shares with others.
        carbon: How energy becomes CO2.
    """
    dedicated, metered = study.is_dedicated, account.quality is not None
    logits = [store["energy"] for store in shared["teacher_logits"].values()]
    compiling = [one["energy"] for one in shared["compilations"].values()]
    inputs, parts = charged_inputs(shared), charged_parts(shared)
    shared_uj = {
        "session": sum(parts["session"].values()) if parts["session"] else None,
        "teacher_logits": None if None in logits else sum(parts["teacher_logits"].values()),
        "compilation": None if None in compiling else sum(parts["compilation"].values()),
    }
    abandoned = abandoned_parts(folder)
    charged_uj = (
        account.charged_uj(dedicated=dedicated) + sum(uj or 0 for uj in shared_uj.values()) if metered else None
    )
    # What replayed logits saved the trials was spent when the teacher was asked: it belongs to training.
    asking_uj = sum(energy["energy_uj"]["trials"] for energy in logits if energy)
    training_uj = account.buckets["trials"] + account.buckets["evaluation"] + asking_uj if metered else None
    # A strategy without a teacher costs nothing for one; a teacher whose cost is unknown makes the sum unknown, and
    # the energy record of one that was given is that of measuring it, not of its training.
    teacher = shared["teacher"]
    uses_teacher = any(trial.needs_teacher(study) for trial in log.trials.values())
    teacher_uj: int | None = None if uses_teacher else 0
    if uses_teacher and teacher and teacher["energy"] and not teacher.get("given"):
        teacher_uj = teacher["energy"]["charged_uj"]
    unknown = {"teacher_unmetered": 1} if teacher_uj is None and teacher and not teacher.get("given") else {}
    with_teacher_uj = None if charged_uj is None or teacher_uj is None else charged_uj + teacher_uj
    kwh, co2_g = _or_none(carbon.kwh), _or_none(carbon.co2_g)
    qualities = [account.quality, *(one["quality"] for one in inputs)]
    measured = [quality for quality in qualities if quality]
    nominal, executed = _flops(folder, study, log, shared)
    models = sum(repeat in log.evaluations for repeat in range(study.repeats))
    return {
        "models": models,
        "trials": {
            status: sum(trial.status == status for trial in log.trials.values())
            for status in ("completed", "pruned", "failed", "interrupted")
        },
        "gflops_millions": nominal / 1e15,
        "training_flops": executed,
        "energy_uj": {
            bucket: uj if metered else None for bucket, uj in {**account.buckets, "node_total": account.node_uj}.items()
        },
        "sources_uj": account.sources if metered else None,
        "uncertainty_uj": _uncertainty(account, inputs, dedicated=dedicated) if metered else None,
        "shared_uj": shared_uj,
        "shared_parts_uj": parts,
        "gap_uj": account.gap_uj + sum(one["gap_uj"] for one in inputs) if metered else None,
        "abandoned_uj": sum_of_parts(abandoned),
        "abandoned_parts_uj": abandoned,
        "charged_kwh": kwh(charged_uj),
        "per_repeat_kwh": of_one_model(kwh(charged_uj), models),
        "training_kwh": kwh(training_uj),
        "charged_co2_g": co2_g(charged_uj),
        "teacher_kwh": kwh(teacher_uj),
        "with_teacher_kwh": kwh(with_teacher_uj),
        "with_teacher_co2_g": co2_g(with_teacher_uj),
        "car_km": None if charged_uj is None else car_km(carbon.co2_g(charged_uj)),
        "wall_s": account.duration_ns / 1e9 if metered else None,
        "gpu_hours": account.gpu_ns / 3.6e12 if metered else None,
        "attribution": study.attribution,
        "quality": max(measured, key=QUALITIES.index, default=None),
        "flags": _flags(account, inputs) | _at_odds(folder, log, account) | unknown,
        "carbon": carbon.as_record(),
        "hardware": [describe_hardware(hardware) for hardware in account.hardware.values()],
    }


def _flops(folder: StrategyFolder, study: Study, log: TrialLog, shared: Mapping[str, Any]) -> tuple[int, int]:
    """Nominal and executed FLOPs of all trials, the passes of the teacher that replayed logits took included."""
    workload = folder.workload()
    nominal = 0
    executed = workload.teacher_passes_flops(sum(store["passes"] for store in shared["teacher_logits"].values()))
    live = study.teacher_logits != "replay"
    for trial in log.trials.values():
        with_teacher = trial.needs_teacher(study)
        nominal += workload.nominal_flops(trial.epochs, with_teacher=with_teacher)
        executed += workload.executed_flops(trial.epochs, teacher_forward=with_teacher and live)
    return nominal, executed


def _uncertainty(account: Account, inputs: list[dict[str, Any]], *, dedicated: bool) -> dict[str, int]:
    """By bucket, and of all that is charged, the part of what is shared included."""
    by_bucket = {bucket: uncertainty_uj([sources]) for bucket, sources in account.sources.items()}
    of_inputs = [{bucket: uncertainty_uj([sources]) for bucket, sources in one["sources_uj"].items()} for one in inputs]
    charged = sum(charged_of(one, dedicated=dedicated) for one in [by_bucket, *of_inputs])
    return {**by_bucket, "charged": charged}


def _at_odds(folder: StrategyFolder, log: TrialLog, account: Account) -> dict[str, int]:
    """Where log and ledger do not tell of the same trials.

    Those that ended well and of which the ledgers know nothing, also in runs that were put aside; and those of the
    ledger that the log does not know.
    """
    runs = [(log, account)]
    for run in folder.study.abandoned(folder.path.name):
        runs.append((TrialLog.read(run.trials), charge_all(read_folder(run.ledger))))
    unmetered = sum(
        trial.status == "completed" and trial.window(trial.attempts) not in known.windows
        for done, known in runs
        for trial in done.trials.values()
    )
    logged = {window for trial in log.trials.values() for window in trial.windows}
    unlogged = sum(name not in logged and not name.startswith(EVALUATION) for name in account.windows)
    found = {"trial_unmetered": unmetered, "trial_unlogged": unlogged}
    return {name: often for name, often in found.items() if often}


def _flags(account: Account, inputs: list[dict[str, Any]]) -> dict[str, int]:
    flags = dict(account.flags)
    for one in inputs:
        for name, count in one["flags"].items():
            flags[name] = flags.get(name, 0) + count
    return flags


def describe_hardware(hardware: Hardware) -> dict[str, Any]:
    """A node as it stands in results, power in watts."""
    return {
        "node": hardware.node,
        "cpu_model": hardware.cpu_model,
        "cores": hardware.cores,
        "cpu_quality": hardware.cpu_quality,
        "tdp_w": hardware.tdp_uw / 1e6,
        "tdp_known": hardware.tdp_known,
        "ram_w": hardware.ram_uw / 1e6,
        "gpus": [
            {"uuid": uuid, "name": name, "quality": hardware.gpu_quality[uuid]} for uuid, name in hardware.gpus.items()
        ],
    }
