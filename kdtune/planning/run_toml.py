"""Writes ``run.toml``, the request of a command, with which ``kdtune resume`` continues."""

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
    """Write the request of a command, merged with those of earlier commands.

    Args:
        folder: Folder of the study.
        study: The study with all open settings resolved.
        strategies: Labels of the strategies that the command runs.
        resources: Resources of each trial.
        data: Folder with the data sets.
        carbon: Conversion of energy to CO2.
        limits: Budget of the study.
        teacher_file: File with the weights of a given teacher.
        accepted_teacher: Identity of a given teacher that the user accepted although its accuracy is at chance level.
        inline: Whether the study runs in the process of the command, without Ray.
    """
    options = {
        "cpus_per_trial": resources.cpus,
        "gpus_per_trial": resources.gpus,
        "folder": str(folder.path),
        "data_dir": str(data.path),
        "teacher": str(teacher_file) if teacher_file else None,
        "accepted_teacher": accepted_teacher,
        "inline": inline or None,
    }
    # The strategies of earlier commands are kept, because a resume continues all of them.
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
