"""Evaluates the models that a strategy chose on the test set."""

from collections.abc import Callable

from kdtune.catalog.metric import ACCURACY
from kdtune.execution.evaluation_job import Candidate, EvaluatedModel, evaluate_chosen
from kdtune.execution.run_context import RunContext
from kdtune.results.chosen_student import ChosenStudent, chosen_student
from kdtune.results.deployed_model import DeployedModel
from kdtune.results.folder import StrategyFolder
from kdtune.results.predictions import add_predictions, read_predictions
from kdtune.results.trial import evaluation_window
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
from kdtune.storage.files import replaced_atomically


def evaluate(
    study: Study, folder: StrategyFolder, log: TrialLog, context: RunContext, poll: Callable[[], object]
) -> None:
    """Evaluate the chosen model of each repeat on the test set, once.

    Args:
        study: The study.
        folder: Results folder of the strategy.
        log: Trial log of the strategy; receives the results.
        context: The session, whose executor runs the evaluation.
        poll: Called regularly during the evaluation.

    Raises:
        KdtuneError: The evaluation, its worker or Ray failed.
    """
    candidates, starts = _candidates(study, folder, log)
    if not candidates:
        return
    for path in (folder.predictions, folder.probabilities):
        read_predictions(path)  # a damaged file is reported before energy is spent
    executor = context.executor
    executor.settle_for_evaluation()
    tested: list[EvaluatedModel] = executor.run_job(
        evaluate_chosen,
        study,
        candidates,
        executor.resources,
        context.data_path,
        executor.id,
        poll=poll,
    )
    seeds = study.seeds()
    add_predictions(folder.predictions, {seeds[one.repeat]: one.predictions for one in tested})
    if known := {seeds[one.repeat]: one.probabilities for one in tested if one.probabilities is not None}:
        add_predictions(folder.probabilities, known, labels=tested[0].labels)
    for model in tested:
        _write_documents(folder, study, model)
    found = {one.repeat: one for one in tested}
    for candidate in candidates:
        chosen = log.chosen(candidate.repeat)
        assert chosen is not None
        if one := found.get(candidate.repeat):
            log.evaluation(one.repeat, chosen.id, one.metrics, _deployed(one, starts.get(one.repeat), study.objective))
        else:
            log.reopen(chosen)
            context.watcher.message(f"trial {chosen.id}: its last checkpoint is lost; resume the study to continue it")


def _write_documents(folder: StrategyFolder, study: Study, model: EvaluatedModel) -> None:
    """Write tables and pictures of the test of a model."""
    for name, content in model.documents.items():
        data, suffix = (content, ".png") if isinstance(content, bytes) else (content.encode(), ".csv")
        with replaced_atomically(folder.document(name, study.seeds()[model.repeat], study.seed, suffix)) as file:
            file.write(data)


def _deployed(model: EvaluatedModel, start: ChosenStudent | None, objective: str) -> DeployedModel | None:
    """Return the form in which a model is used; None if that is the float network."""
    if model.deployment is None or start is None:
        return None
    facts = dict(model.deployment)
    simulated, other = facts.pop("simulated"), None if objective == ACCURACY else objective
    return DeployedModel(
        **facts,
        float_accuracy=start.test.get(ACCURACY),
        simulated_accuracy=simulated.get(ACCURACY),
        float_objective=start.test.get(other) if other else None,
        simulated_objective=simulated.get(other) if other else None,
    )


def _candidates(
    study: Study, folder: StrategyFolder, log: TrialLog
) -> tuple[list[Candidate], dict[int, ChosenStudent]]:
    """Return the models that are due, and by repeat the student with which a training began that was not untrained.

    The attempts are logged.
    """
    candidates: list[Candidate] = []
    starts: dict[int, ChosenStudent] = {}
    for repeat, seed in enumerate(study.seeds()):
        chosen = log.chosen(repeat)
        if chosen and repeat not in log.evaluations:
            assert chosen.spec is not None, "the plan has resolved it"
            if (recipe := chosen.spec.recipe).quantisation:
                starts[repeat] = chosen_student(folder.study, study, recipe.quantisation.after, repeat)
            attempt = log.evaluation_attempt(repeat)
            candidates.append(
                Candidate(
                    repeat,
                    evaluation_window(seed, attempt),
                    str(folder.checkpoints(chosen.id).absolute()),
                    chosen.planned_epochs,
                    str(folder.weights(seed, study.seed).absolute()),
                    recipe,
                    str(starts[repeat].weights.absolute()) if repeat in starts else None,
                )
            )
    return candidates, starts
