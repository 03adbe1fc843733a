"""The ``cost`` of a result: what was used, who is charged, and how well that is known."""

from collections import Counter
from collections.abc import Callable

from kdtune.energy.attribution import Account, charged_energy_uj
from kdtune.energy.carbon import Carbon, car_km
from kdtune.energy.ledger import read_folder
from kdtune.energy.sensors.node import QUALITIES, Quality
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.energy.uncertainty import uncertainty_uj
from kdtune.results.abandoned_energy import abandoned_parts
from kdtune.results.cost_document import Cost, Node, SharedEnergy, TrialCounts
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_document import LedgerSummary, SharedInputs
from kdtune.results.trial import EVALUATION
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study


def cost_of(
    folder: StrategyFolder,
    study: Study,
    log: TrialLog,
    account: Account,
    shared: SharedInputs,
    carbon: Carbon,
) -> Cost:
    """What a strategy cost. Where nothing was metered everything is None: a 0 would be a measurement.

    Args:
        folder: The strategy's.
        study: As it ran.
        log: The strategy's trials.
        account: Of the strategy's ledgers.
        shared: The sessions and the teacher that it shares with others.
        carbon: How energy becomes CO2.
    """
    metered, dedicated, inputs = account.quality is not None, study.is_dedicated, shared.charged_inputs
    shared_uj = _shared_energy(shared)
    charged_uj = account.charged_uj(dedicated=dedicated) + shared_uj.known_uj if metered else None
    teacher_uj, teacher_flags = _teacher_energy(study, log, shared)
    with_teacher_uj = None if charged_uj is None or teacher_uj is None else charged_uj + teacher_uj
    training_uj = _training_uj(account, shared) if metered else None
    nominal, executed = _flops(folder, study, log, shared)
    models = sum(repeat in log.evaluations for repeat in range(study.repeats))
    abandoned = abandoned_parts(folder)
    kwh, co2_g = _or_none(carbon.kwh), _or_none(carbon.co2_g)
    charged_co2_g = co2_g(charged_uj)
    return Cost(
        models=models,
        trials=_count_trials(log),
        gflops_millions=nominal / 1e15,
        training_flops=executed,
        energy_uj=_energy_by_bucket(account) if metered else dict.fromkeys(_energy_by_bucket(account)),
        sources_uj=account.sources if metered else None,
        uncertainty_uj=_uncertainty(account, inputs, dedicated=dedicated) if metered else None,
        shared_uj=shared_uj,
        shared_parts_uj=shared.charged_parts,
        gap_uj=account.gap_uj + sum(one.gap_uj for one in inputs) if metered else None,
        abandoned_uj=abandoned.sum_uj,
        abandoned_parts_uj=abandoned,
        charged_kwh=kwh(charged_uj),
        per_repeat_kwh=None if charged_uj is None or not models else carbon.kwh(charged_uj) / models,
        training_kwh=kwh(training_uj),
        charged_co2_g=charged_co2_g,
        teacher_kwh=kwh(teacher_uj),
        with_teacher_kwh=kwh(with_teacher_uj),
        with_teacher_co2_g=co2_g(with_teacher_uj),
        car_km=None if charged_co2_g is None else car_km(charged_co2_g),
        wall_s=account.duration_ns / 1e9 if metered else None,
        gpu_hours=account.gpu_ns / 3.6e12 if metered else None,
        attribution=study.attribution,
        quality=_worst_quality(account, inputs),
        flags=_flags(account, inputs) | _at_odds(folder, log, account) | teacher_flags,
        carbon=carbon,
        hardware=tuple(Node.of(hardware) for hardware in account.hardware.values()),
    )


def _or_none(of: Callable[[int], float]) -> Callable[[int | None], float | None]:
    return lambda uj: None if uj is None else of(uj)


def _count_trials(log: TrialLog) -> TrialCounts:
    ended = Counter(trial.status for trial in log.trials.values())
    return TrialCounts(ended["completed"], ended["pruned"], ended["failed"], ended["interrupted"])


def _energy_by_bucket(account: Account) -> dict[str, int | None]:
    return {**account.buckets, "node_total": account.node_uj}


def _shared_energy(shared: SharedInputs) -> SharedEnergy:
    """The charges for what is shared; None of a kind of which something was not metered."""
    charged = {kind: sum(by_id.values()) for kind, by_id in shared.charged_parts.items()}
    unmetered_logits = any(store.energy is None for store in shared.teacher_logits.values())
    unmetered_code = any(one.energy is None for one in shared.compilations.values())
    return SharedEnergy(
        session=charged["session"] if shared.sessions else None,
        teacher_logits=None if unmetered_logits else charged["teacher_logits"],
        compilation=None if unmetered_code else charged["compilation"],
    )


def _training_uj(account: Account, shared: SharedInputs) -> int:
    """Trials and evaluation, and what replayed logits saved the trials: it was spent when the teacher was asked."""
    asking_uj = sum(store.energy.energy_uj["trials"] for store in shared.teacher_logits.values() if store.energy)
    return account.buckets["trials"] + account.buckets["evaluation"] + asking_uj


def _teacher_energy(study: Study, log: TrialLog, shared: SharedInputs) -> tuple[int | None, dict[str, int]]:
    """What the teacher's training took, and a flag where that should be known and is not.

    A strategy without a teacher costs nothing for one. A teacher whose cost is unknown makes the sum unknown, and the
    energy record of one that was given is that of measuring it, not of its training.
    """
    if not any(trial.needs_teacher(study) for trial in log.trials.values()):
        return 0, {}
    teacher = shared.teacher
    if teacher and teacher.training:
        return teacher.training.charged_uj, {}
    return None, {"teacher_unmetered": 1} if teacher and not teacher.given else {}


def _worst_quality(account: Account, inputs: list[LedgerSummary]) -> Quality | None:
    known = [quality for quality in (account.quality, *(one.quality for one in inputs)) if quality]
    return max(known, key=QUALITIES.index, default=None)


def _flops(folder: StrategyFolder, study: Study, log: TrialLog, shared: SharedInputs) -> tuple[int, int]:
    """Nominal and executed FLOPs of all trials, the passes of the teacher that replayed logits took included."""
    workload = folder.workload()
    nominal = 0
    executed = workload.teacher_passes_flops(sum(store.passes for store in shared.teacher_logits.values()))
    live = study.teacher_logits != "replay"
    for trial in log.trials.values():
        with_teacher = trial.needs_teacher(study)
        nominal += workload.nominal_flops(trial.epochs, with_teacher=with_teacher)
        executed += workload.executed_flops(trial.epochs, teacher_forward=with_teacher and live)
    return nominal, executed


def _uncertainty(account: Account, inputs: list[LedgerSummary], *, dedicated: bool) -> dict[str, int]:
    """By bucket, and of all that is charged, the part of what is shared included."""
    by_bucket = {bucket: uncertainty_uj([sources]) for bucket, sources in account.sources.items()}
    of_inputs = [{bucket: uncertainty_uj([sources]) for bucket, sources in one.sources_uj.items()} for one in inputs]
    charged = sum(charged_energy_uj(one, dedicated=dedicated) for one in [by_bucket, *of_inputs])
    return {**by_bucket, "charged": charged}


def _at_odds(folder: StrategyFolder, log: TrialLog, account: Account) -> dict[str, int]:
    """Where log and ledger do not tell of the same trials.

    Those that ended well and of which the ledgers know nothing, also in runs that were put aside; and those of the
    ledger that the log does not know.
    """
    runs = [(log, account)]
    for run in folder.study.abandoned(folder.path.name):
        runs.append((TrialLog.read(run.trials), account_of_nodes(read_folder(run.ledger))))
    unmetered = sum(
        trial.status == "completed" and trial.window(trial.attempts) not in known.windows
        for done, known in runs
        for trial in done.trials.values()
    )
    logged = {window for trial in log.trials.values() for window in trial.windows}
    unlogged = sum(name not in logged and not name.startswith(EVALUATION) for name in account.windows)
    found = {"trial_unmetered": unmetered, "trial_unlogged": unlogged}
    return {name: often for name, often in found.items() if often}


def _flags(account: Account, inputs: list[LedgerSummary]) -> dict[str, int]:
    flags = dict(account.flags)
    for one in inputs:
        for name, count in one.flags.items():
            flags[name] = flags.get(name, 0) + count
    return flags
