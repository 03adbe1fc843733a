"""MLflow runs: one for each trial, in an experiment of the study's name."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from kdtune.errors import UsageError
from kdtune.report.export.trial_runs import NOT_FINISHED, TrialRun, runs_of
from kdtune.report.reported_study import ReportedStudy

#: MLflow's words for trials that did not end as planned.
_STATUS = {"failed": "FAILED", NOT_FINISHED: "KILLED"}


def write_mlflow_runs(study: ReportedStudy, target: Path) -> list[Path]:
    """Write the runs into a database in the target, which ``mlflow ui --backend-store-uri`` opens.

    Raises:
        UsageError: MLflow is not installed, or refuses the database, such as one of another release.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise UsageError("--to mlflow: MLflow is not installed here; install it with: pip install mlflow") from None
    database = target / "mlflow.db"
    try:
        _write_runs(study, target, database, MlflowClient)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{database}: MLflow refuses it ({reason}); name another folder with -o") from None
    return [database]


def _write_runs(study: ReportedStudy, target: Path, database: Path, make_client: Callable[..., Any]) -> None:
    client = make_client(tracking_uri=f"sqlite:///{database.absolute()}")
    found = client.get_experiment_by_name(study.study.name)
    experiment = (
        found.experiment_id
        if found
        else client.create_experiment(study.study.name, artifact_location=(target / "artifacts").absolute().as_uri())
    )
    runs = list(runs_of(study))
    earlier = _ids_of(client, experiment, {run.name for run in runs})
    for run in runs:
        _write(client, experiment, run, study)
    for replaced in earlier:
        client.delete_run(replaced)


def _ids_of(client: Any, experiment: str, names: Collection[str]) -> list[str]:
    """Return the ids of the runs that an earlier export wrote, which have the names of the same trials."""
    found, token = [], None
    while True:
        page = client.search_runs([experiment], page_token=token)
        found += [one.info.run_id for one in page if one.info.run_name in names]
        token = page.token
        if not token:
            return found


def _write(client: Any, experiment: str, run: TrialRun, study: ReportedStudy) -> None:
    made = client.create_run(experiment, run_name=run.name).info.run_id
    for key, text in run.parameters.items():
        client.log_param(made, key, text)
    for key, value in run.metrics.items():
        client.log_metric(made, key, value)
    for key, values in run.by_epoch.items():
        for epoch, value in values:
            client.log_metric(made, f"epoch_{key}", value, step=epoch)
    folder = study.folder.strategy(run.strategy)
    if run.parameters["chosen"] == "True" and folder.study_toml.is_file():
        client.log_artifact(made, str(folder.study_toml))
    client.set_terminated(made, _STATUS.get(run.parameters["status"], "FINISHED"))
