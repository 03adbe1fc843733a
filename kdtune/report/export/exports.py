"""The formats of :command:`kdtune export`, each of which writes files about one study into a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, ResultsError, SpecError
from kdtune.report.export.csv_files import write_csv_files
from kdtune.report.export.latex import write_latex
from kdtune.report.export.mlflow_runs import write_mlflow_runs
from kdtune.report.export.model_card import write_model_card
from kdtune.report.export.tensorboard import write_tensorboard
from kdtune.report.reported_study import ReportedStudy

#: Writes files about a study into a folder, which exists, and returns their paths. What an earlier export wrote for the
#: same strategies and trials is replaced.
Writer = Callable[[ReportedStudy, Path], list[Path]]


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes:
        write: Writes the files.
        summary: What it is, for help.
    """

    write: Writer
    summary: str


FORMATS: dict[str, ExportFormat] = {
    "model-card": ExportFormat(write_model_card, "a Hugging Face model card with the CO2 of the model"),
    "mlflow": ExportFormat(write_mlflow_runs, "MLflow runs, one for each trial"),
    "tensorboard": ExportFormat(write_tensorboard, "TensorBoard event files, one run for each trial"),
    "latex": ExportFormat(write_latex, "the cost table in LaTeX"),
    "csv": ExportFormat(write_csv_files, "strategies, trials and epochs as CSV files"),
}


def export_format(name: str) -> ExportFormat:
    """Return a format by its name.

    Raises:
        SpecError: There is none of that name.
    """
    if name not in FORMATS:
        raise SpecError([Fault("--to", "", f"unknown format {name!r}; {did_you_mean(name, list(FORMATS))}")])
    return FORMATS[name]


def export(study: ReportedStudy, name: str, target: Path) -> list[Path]:
    """Write a study in a format; an earlier export of the same trials into the folder is replaced.

    Args:
        study: The study.
        name: Name of the format.
        target: Folder for the files, which is created.

    Returns:
        The files or folders that were written.

    Raises:
        SpecError: There is no such format.
        ResultsError: The folder cannot be written to.
    """
    chosen = export_format(name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        return chosen.write(study, target)
    except OSError as error:
        place = error.filename or target
        raise ResultsError(f"{place}: cannot be written ({error.strerror}); name another folder with -o") from None
