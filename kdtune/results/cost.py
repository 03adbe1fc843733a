"""Computation of the ``cost`` of a result: the energy used, the energy charged, and how reliable the figures are."""

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
from kdtune.results.shared_document import STUDENTS, LedgerSummary, SharedInputs
from kdtune.results.trial import EVALUATION, phase_window
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study


def cost_of(
    folder: StrategyFolder, study: Study, log: TrialLog, account: Account, shared: SharedInputs, carbon: Carbon
) -> Cost:
    """Return the cost of a strategy. If nothing was metered, all energy is None, since a 0 would be a measurement.

    Args:
        folder: The strategy's folder.
        study: The study as it ran.
        log: The strategy's trial log.
        account: Account of the strategy's ledgers.
        shared: Inputs that the strategy shares with others.
        carbon: Factors that convert energy to CO2.
    """
    metered, dedicated, inputs = account.quality is not None, study.is_dedicated, shared.charged_inputs
    shared_uj = _shared_energy(shared)
    charged_uj = account.charged_uj(dedicated=dedicated) + shared_uj.known_uj if metered else None
    teacher_uj, teacher_flags = _teacher_energy(study, log, shared)
    with_teacher_uj = None if charged_uj is None or teacher_uj is None else charged_uj + teacher_uj
    training_uj = _training_uj(account, shared) if metered else None
    nominal, executed, meta = _flops(folder, study, log, shared)
    models = sum(repeat in log.evaluations for repeat in range(study.repeats))
    abandoned = abandoned_parts(folder)
    kwh, co2_g = _or_none(carbon.kwh), _or_none(carbon.co2_g)
    charged_co2_g = co2_g(charged_uj)
    return Cost(
        models=models,
        trials=_count_trials(log),
        gflops_millions=nominal / 1e15,
        training_flops=executed,
        meta_flops=meta or None,
        synthesis_flops=_synthesis_flops(folder, log, shared) or None,
        trial_synthesis_uj=_trial_synthesis_uj(log, account),
        teachers=len(shared.teachers) if shared.other_teachers else None,
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
        flags=_flags(account, inputs) | _inconsistencies(folder, log, account) | teacher_flags,
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
    """Return the charges for shared inputs; None for a kind of which an input was not metered."""
    charged = {kind: sum(by_id.values()) for kind, by_id in shared.charged_parts.items()}
    unmetered_logits = any(store.energy is None for store in shared.teacher_logits.values())
    unmetered_images = any(one.energy is None for one in shared.synthesis.values())
    unmetered_code = any(one.energy is None for one in shared.compilations.values())
    return SharedEnergy(
        session=charged["session"] if shared.sessions else None,
        teacher_logits=None if unmetered_logits else charged["teacher_logits"],
        compilation=None if unmetered_code else charged["compilation"],
        synthesis=None if unmetered_images else charged["synthesis"],
        students=charged.get(STUDENTS),
    )


def _training_uj(account: Account, shared: SharedInputs) -> int:
    """Return the energy of trials, of evaluation, and of computing the teacher's logits that the trials replayed.

    Those of a strategy whose students were the beginning are included.
    """
    logits_uj = sum(store.energy.energy_uj["trials"] for store in shared.teacher_logits.values() if store.energy)
    searched = [one.energy.energy_uj for one in (shared.students or {}).values() if one.energy]
    students_uj = sum(buckets["trials"] + buckets["evaluation"] for buckets in searched)
    return account.buckets["trials"] + account.buckets["evaluation"] + logits_uj + students_uj


def _teacher_energy(study: Study, log: TrialLog, shared: SharedInputs) -> tuple[int | None, dict[str, int]]:
    """Return the energy of the teacher's training, and a flag if it should be known but is not.

    It is 0 for a strategy without a teacher, and the sum for repeats with teachers of their own. It is None for a
    teacher whose weights the user gave: the energy record of such a teacher covers its evaluation, not its training.
    """
    teachers = shared.teachers.values()
    of_students = bool(shared.students) and bool(teachers)  # only a strategy that used a teacher records one
    if not of_students and not any(trial.needs_teacher(study) for trial in log.trials.values()):
        return 0, {}
    trainings = [teacher.training.charged_uj for teacher in teachers if teacher.training]
    if teachers and len(trainings) == len(teachers):
        return sum(trainings), {}
    unmetered = sum(not teacher.given and teacher.training is None for teacher in teachers)
    return None, {"teacher_unmetered": unmetered} if unmetered else {}


def _worst_quality(account: Account, inputs: list[LedgerSummary]) -> Quality | None:
    known = [quality for quality in (account.quality, *(one.quality for one in inputs)) if quality]
    return max(known, key=QUALITIES.index, default=None)


def _flops(folder: StrategyFolder, study: Study, log: TrialLog, shared: SharedInputs) -> tuple[int, int, int]:
    """Return nominal and executed FLOPs of all trials, and those of the executed ones that meta-gradients added.

    The teacher's passes for replayed logits count as executed.
    """
    whole = folder.workload()
    nominal = meta = 0
    # Logits that the search for a float student replayed are among the FLOPs of that search, which are added below.
    replayed = 0 if shared.students else sum(store.passes for store in shared.teacher_logits.values())
    executed = whole.teacher_passes_flops(replayed)
    live = study.teacher_logits != "replay"
    for trial in log.trials.values():
        teacher_epochs, workload = trial.teacher_epochs(study), whole
        if trial.spec:
            workload = whole.trained_on(trial.spec.recipe.trained_images(whole.train_images))
            meta += whole.student_passes_flops(trial.spec.recipe.meta_passes(whole.train_images) * trial.epochs)
        nominal += workload.nominal_flops(trial.epochs, teacher_epochs=teacher_epochs)
        if trial.spec and not trial.spec.recipe.trains:
            executed += workload.nominal_flops(trial.epochs, teacher_epochs=0)
            continue
        executed += workload.executed_flops(trial.epochs, teacher_epochs=teacher_epochs if live else 0)
    executed += meta
    for before in (shared.students or {}).values():
        nominal += round(before.gflops_millions * 1e15)
        executed += before.training_flops
        meta += before.meta_flops or 0
    return nominal, executed, meta


def _synthesis_flops(folder: StrategyFolder, log: TrialLog, shared: SharedInputs) -> int:
    """Return the FLOPs of making images from the teacher: those that are shared, and those of each training."""
    of_epoch = int(folder.resolved().get("epoch_synthesis_flops", 0))
    return sum(one.flops for one in shared.synthesis.values()) + of_epoch * sum(
        trial.epochs for trial in log.trials.values()
    )


def _trial_synthesis_uj(log: TrialLog, account: Account) -> int | None:
    """Return the energy of the images that trainings made against their own students; None if they made none."""
    suffix = phase_window("", "synthesis")
    used = [window for trial in log.trials.values() for window in trial.windows if window.endswith(suffix)]
    known = [account.windows[window] for window in used if window in account.windows]
    return sum(known) if known else None


def _uncertainty(account: Account, inputs: list[LedgerSummary], *, dedicated: bool) -> dict[str, int]:
    """Return the uncertainty in microjoules of each bucket, and of all charged energy including shared inputs."""
    by_bucket = {bucket: uncertainty_uj([sources]) for bucket, sources in account.sources.items()}
    of_inputs = [{bucket: uncertainty_uj([sources]) for bucket, sources in one.sources_uj.items()} for one in inputs]
    charged = sum(charged_energy_uj(one, dedicated=dedicated) for one in [by_bucket, *of_inputs])
    return {**by_bucket, "charged": charged}


def _inconsistencies(folder: StrategyFolder, log: TrialLog, account: Account) -> dict[str, int]:
    """Return flags for trials that occur in only one of trial log and ledger.

    ``trial_unmetered`` counts completed trials without energy, also those of runs that were put aside;
    ``trial_unlogged`` counts trials of the ledger that are not in the log.
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
    return {name: count for name, count in found.items() if count}


def _flags(account: Account, inputs: list[LedgerSummary]) -> dict[str, int]:
    flags = dict(account.flags)
    for one in inputs:
        for name, count in one.flags.items():
            flags[name] = flags.get(name, 0) + count
    return flags
