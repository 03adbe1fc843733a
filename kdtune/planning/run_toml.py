"""Writes ``run.toml``: what a command was asked, and so what a resume goes on with."""

from collections.abc import Iterable
from pathlib import Path

from kdtune.energy.carbon import Carbon
from kdtune.planning.budget import Budget
from kdtune.planning.resources import Resources
from kdtune.results.folder import StudyFolder
from kdtune.specs.study import Study
from kdtune.storage.paths import DataDir


def note_run(
    folder: StudyFolder,
    study: Study,
    strategies: Iterable[str],
    resources: Resources,
    data: DataDir,
    carbon: Carbon,
    limits: Budget,
    teacher_file: Path | None,
    accepted_teacher: str | None,
    *,
    inline: bool,
) -> None:
    """Note what was asked beside what earlier commands asked.

    Args:
        folder: The study's.
        study: With nothing left open.
        strategies: That the command runs, by label.
        resources: What each trial gets.
        data: The folder with the data sets.
        carbon: How energy becomes CO2.
        limits: What may be used.
        teacher_file: Where the weights of a given teacher are.
        accepted_teacher: Identity of the weights that are used though their accuracy is at chance.
        inline: Whether it runs in the command's own process, without Ray.
    """
    options = {
        "cpus_per_trial": resources.cpus,
        "gpus_per_trial": resources.gpus,
        "data_dir": str(data.path),
        "teacher": str(teacher_file) if teacher_file else None,
        "accepted_teacher": accepted_teacher,
        "inline": inline or None,
    }
    # What earlier commands called their strategies stays: a resume goes on with all of them.
    listed = study.model_copy(update={"strategies": {**folder.noted_options(), **study.strategies}})
    folder.write_run(
        {
            "strategies": list(dict.fromkeys([*folder.noted_labels(), *strategies])),
            "repeats": study.repeats,
            "seed": study.seed,
            "options": {key: value for key, value in options.items() if value is not None},
            "carbon": {key: value for key, value in carbon.as_record().items() if value is not None},
            "budget": limits.as_record(),
            "study": listed.model_dump(mode="json", exclude_none=True),
        }
    )
