"""``result.json``: the result of a strategy, which is built from the strategy's files alone."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from kdtune.catalog.builtin import is_method
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.energy.attribution import Account
from kdtune.energy.carbon import Carbon
from kdtune.energy.interval_shares import split_integer
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.cost import cost_of
from kdtune.results.cost_card import write_cost_files
from kdtune.results.deployed_model import DeployedModel
from kdtune.results.estimate_document import read_estimate
from kdtune.results.folder import StrategyFolder
from kdtune.results.inference_document import read_inference
from kdtune.results.shared_document import SharedInputs, StudentsInput
from kdtune.results.shared_inputs import ledger_summary, read_shared
from kdtune.results.strategy_result import (
    SCHEMA_VERSION,
    Computed,
    FailedTrial,
    Repeat,
    StrategyResult,
    Summary,
)
from kdtune.results.synthetic_document import synthetic_images_of
from kdtune.results.trial import evaluation_window
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
from kdtune.storage.checksums import with_checksum
from kdtune.storage.files import write_json
from kdtune.storage.records import parsed


def build_result(folder: StrategyFolder, carbon: Carbon) -> StrategyResult:
    """Return the result of a strategy: the models that it chose, their accuracy, and their cost.

    Args:
        folder: The strategy's folder.
        carbon: Factors that convert energy to CO2.

    Raises:
        ResultsError: A file is missing or damaged.
    """
    study = folder.read_study()
    log = TrialLog.read(folder.trials)
    account, shared = account_of_nodes(read_folder(folder.ledger)), read_shared(folder)
    cost = cost_of(folder, study, log, account, shared, carbon)
    charged_by_repeat = _charge_repeats(study, log, account, cost.shared_uj.known_uj)
    objective = None if study.objective == ACCURACY else study.objective
    repeats = []
    for repeat, seed in enumerate(study.seeds()):
        evaluation = log.evaluations.get(repeat)
        chosen = log.trials[evaluation["trial_id"]] if evaluation else log.chosen(repeat)
        repeats.append(
            Repeat(
                seed=seed,
                chosen=chosen.point if chosen else None,
                val_accuracy=chosen.val_accuracy if chosen else None,
                val_loss=chosen.val_loss if chosen else None,
                trials=started_trials(log, repeat) + shared.trials_before(repeat),
                charged_uj=charged_by_repeat[repeat] if account.quality else None,
                test=evaluation["test"] if evaluation else None,
                val_objective=chosen.val_objective if chosen else None,
                test_objective=evaluation["test"].get(objective) if evaluation and objective else None,
                deployed=parsed(of_int8, DeployedModel) if (of_int8 := (evaluation or {}).get("deployed")) else None,
            )
        )
    return StrategyResult(
        schema_version=SCHEMA_VERSION,
        study=study.name,
        strategy=folder.path.name,
        status=_status(study, log),
        computed=Computed(**study.numerics.model_dump(), teacher_logits=study.teacher_logits),
        repeats=tuple(repeats),
        summary=Summary(
            *_mean_and_std([one.test_accuracy for one in repeats]),
            *_mean_and_std([one.val_accuracy for one in repeats]),
            *_mean_and_std([one.test_objective for one in repeats]),
            *_mean_and_std([one.val_objective for one in repeats]),
        ),
        cost=cost,
        estimate=read_estimate(folder, carbon),
        failures=tuple(
            FailedTrial(trial.id, trial.seed, trial.point, trial.error)
            for trial in log.trials.values()
            if trial.status == "failed"
        ),
        objective=objective,
        loss=study.loss.name if is_method(study.loss.name) else None,
        synthetic=synthetic_images_of(study, shared),
        objective_info=None if study.objective_info == Metric(study.objective) else study.objective_info,
        latency=measured.latency if (measured := read_inference(folder)) else None,
    )


def write_result(folder: StrategyFolder, carbon: Carbon) -> StrategyResult:
    """Build the result, write ``result.json`` and the files about cost, and return the result."""
    result = build_result(folder, carbon)
    write_json(folder.result, with_checksum(result.as_json()))
    write_cost_files(folder, result, read_shared(folder))
    return result


def inputs_of_students(folder: StrategyFolder, carbon: Carbon) -> SharedInputs:
    """Return the students of a strategy as an input of others, together with the inputs of that strategy.

    Args:
        folder: Folder of the strategy.
        carbon: Any factors; they do not influence energies and FLOPs.
    """
    study, log, cost = folder.read_study(), TrialLog.read(folder.trials), build_result(folder, carbon).cost
    students = StudentsInput(
        ledger_summary(folder.ledger, dedicated=study.is_dedicated),
        tuple(started_trials(log, repeat) for repeat in range(study.repeats)),
        cost.gflops_millions,
        cost.training_flops,
        cost.meta_flops,
    )
    return replace(read_shared(folder), students={folder.path.name: students})


def started_trials(log: TrialLog, repeat: int) -> int:
    """Return the number of trials of a repeat that were started."""
    return sum(trial.attempts > 0 for trial in log.of_repeat(repeat))


def _status(study: Study, log: TrialLog) -> str:
    if log.is_settled(study.repeats) and len(log.evaluations) == study.repeats:
        return "completed"
    return log.status if log.status in ("interrupted", "budget") else "incomplete"


def _mean_and_std(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return the mean of the known values and their sample standard deviation; None where there are too few values."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None, statistics.stdev(known) if len(known) > 1 else None


def own_energy_of_repeats(study: Study, log: TrialLog, account: Account) -> list[int]:
    """Return the energy of the trials and the evaluation of each repeat, over all attempts, in microjoules."""
    return [
        sum(account.windows.get(window, 0) for trial in log.of_repeat(repeat) for window in trial.windows)
        + sum(
            account.windows.get(evaluation_window(seed, attempt), 0)
            for attempt in range(1, log.evaluation_attempts.get(repeat, 0) + 1)
        )
        for repeat, seed in enumerate(study.seeds())
    ]


def _charge_repeats(study: Study, log: TrialLog, account: Account, shared_uj: int) -> list[int]:
    """Return the charge of each repeat: its own windows, and an equal part of the energy that all repeats share."""
    own = own_energy_of_repeats(study, log, account)
    common = account.charged_uj(dedicated=study.is_dedicated) + shared_uj - sum(own)
    parts = split_integer(common, {str(repeat): 1 for repeat in range(study.repeats)})
    return [uj + parts[str(repeat)] for repeat, uj in enumerate(own)]
