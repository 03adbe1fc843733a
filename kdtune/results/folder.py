"""Layout of a study's results folder, and the lock on it."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import ResultsError, ResultsExistError
from kdtune.results.documents import check, check_key, read_table
from kdtune.results.frozen_study import FrozenStudy
from kdtune.results.run_document import RunDocument, RunPaths, RunSettings
from kdtune.results.write_access import refuse_links, take_lock
from kdtune.specs.study import Study
from kdtune.storage.files import replaced_atomically

ABANDONED = "abandoned"

T = TypeVar("T")

#: What the user can do about a damaged ``run.toml``.
RUN_REMEDY = "replace it with an intact copy, or delete it; 'kdtune study' writes it"


@dataclass(frozen=True)
class StrategyFolder(FrozenStudy):
    """``results/<study>/<strategy>/``: the files of one strategy."""

    @property
    def study(self) -> "StudyFolder":
        """The study's folder, also for a strategy that was put aside."""
        return StudyFolder(self.path.parent.parent if self.path.parent.name == ABANDONED else self.path.parent)

    @property
    def ledger(self) -> Path:
        """Folder of the energy ledgers, with one file for each node."""
        return self.path / "ledger"

    @property
    def trials(self) -> Path:
        """The trial log."""
        return self.path / "trials.jsonl"

    @property
    def epochs(self) -> Path:
        """The log of epochs."""
        return self.path / "epochs.jsonl"

    @property
    def shared(self) -> Path:
        """The file with the inputs that the strategy shares with others."""
        return self.path / "shared.json"

    @property
    def result(self) -> Path:
        """The file with the strategy's result, which is built from the other files."""
        return self.path / "result.json"

    @property
    def estimate(self) -> Path:
        """The file with the estimate that was made before the strategy ran."""
        return self.path / "estimate.json"

    @property
    def predictions(self) -> Path:
        """Predictions of the chosen models on the test images, one array for each repeat."""
        return self.path / "predictions.npz"

    @property
    def probabilities(self) -> Path:
        """Probabilities of the classes for the test images, one array for each repeat, and the true classes."""
        return self.path / "probabilities.npz"

    @property
    def inference(self) -> Path:
        """The file with the energy that the student uses for inference, compared with the teacher."""
        return self.path / "inference.json"

    @property
    def inference_ledger(self) -> Path:
        """Folder of the energy ledger of that measurement, which is charged to no strategy."""
        return self.path / "inference" / "ledger"

    def checkpoints(self, trial_id: str) -> Path:
        """Folder of a trial's checkpoints."""
        return self._checkpoints / trial_id

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of all trials, because nothing is left to resume."""
        shutil.rmtree(self._checkpoints, ignore_errors=True)

    def weights(self, seed: int, first_seed: int) -> Path:
        """Return the path of the chosen model of a repeat: ``student.pt`` for the first repeat."""
        return self._of_repeat("student", ".pt", seed, first_seed)

    def int8_weights(self, seed: int, first_seed: int) -> Path:
        """Return the path of the quantised model of a repeat, which only some strategies have."""
        return self._of_repeat("student-int8", ".pt2", seed, first_seed)

    def document(self, name: str, seed: int, first_seed: int, suffix: str = ".csv") -> Path:
        """Return the path of a task's file about a chosen model: ``confusion.csv`` for the first repeat."""
        return self._of_repeat(name, suffix, seed, first_seed)

    def pictures(self, seed: int, first_seed: int) -> list[Path]:
        """Return the PNG files about the chosen model of a repeat, such as ``detections.png``, that are there."""
        stems = {re.sub(r"-\d+$", "", path.stem) for path in self.path.glob("*.png")}
        found = (self.document(stem, seed, first_seed, ".png") for stem in sorted(stems))
        return [path for path in found if path.is_file()]

    def _of_repeat(self, stem: str, suffix: str, seed: int, first_seed: int) -> Path:
        return self.path / (f"{stem}{suffix}" if seed == first_seed else f"{stem}-{seed}{suffix}")


@dataclass(frozen=True)
class StudyFolder:
    """``results/<study>/``: a folder for each strategy, and the files that they share."""

    path: Path

    @property
    def run_toml(self) -> Path:
        """The file with the arguments of the last command."""
        return self.path / "run.toml"

    @property
    def synthetic_sheet(self) -> Path:
        """Contact sheet of synthetic images, as PNG; there is none for a study on real images."""
        return self.path / "synthetic-images.png"

    @property
    def remedy(self) -> str:
        """Message about an unfinished study, with the command that resumes it."""
        return f"Not finished. Continue with: {self.resume_command}"

    @property
    def resume_command(self) -> str:
        """The command that resumes the study."""
        return f"kdtune resume {shlex.quote(str(self.path))}"

    def session(self, session_id: str) -> Path:
        """Return the folder of a session's energy ledgers, which cover the start and the end of Ray."""
        return self.path / "sessions" / session_id

    def strategy(self, name: str) -> StrategyFolder:
        """Return the folder of a strategy."""
        return StrategyFolder(self.path / name)

    def strategies(self) -> list[StrategyFolder]:
        """Return the strategies that have been run, in the order of the study and then of the registry."""
        order = {label: place for place, label in enumerate(dict.fromkeys([*self.noted_options(), *STRATEGIES]))}
        found = [StrategyFolder(path.parent) for path in self.path.glob("*/study.toml")]
        return sorted(found, key=lambda folder: (order.get(folder.path.name, len(order)), folder.path.name))

    def abandoned(self, name: str) -> list[StrategyFolder]:
        """Return earlier runs of a strategy that ``--fresh`` put aside; their energy is still reported."""
        found = sorted(self.path.glob(f"{ABANDONED}/{escape(name)}-*/study.toml"))
        folders = [StrategyFolder(path.parent) for path in found]
        return [folder for folder in folders if folder.path.name.removeprefix(f"{name}-").isdigit()]

    def check_free(self, study: Study, names: list[str], *, fresh: bool) -> None:
        """Check that strategies may be run here.

        Args:
            study: The study that will run.
            names: The strategies.
            fresh: Whether earlier runs of these strategies will be put aside.

        Raises:
            ResultsExistError: A strategy has been run here before, or the folder holds results of another study.
        """
        existing = [self.strategy(name) for name in names if self.strategy(name).path.exists()]
        if existing and not fresh:
            changed = next((found for folder in existing if (found := folder.differences(study))), [])
            command = self.resume_command
            is_edited = any(".digest " in one for one in changed)
            go_on = f"Continue{' that study' if changed else ''} with '{command}', use" if not is_edited else "Use"
            raise ResultsExistError(
                f"{', '.join(str(folder.path) for folder in existing)}: these results exist already and are never "
                "overwritten"
                + (f"; this study differs from theirs in {', '.join(changed)}" if changed else "")
                + (", since a component, or a package that it imports, has changed" if is_edited else "")
                + f". {go_on} another folder with --out DIR, or put them aside with --fresh"
            )
        for folder in self.strategies():
            if folder.path.name not in names:
                self._refuse_another(folder, study)

    def put_aside(self, names: list[str]) -> None:
        """Move earlier runs of strategies to another folder; their energy is still reported."""
        for folder in (self.strategy(name) for name in names):
            if folder.path.exists():
                aside = self.path / ABANDONED
                aside.mkdir(exist_ok=True)
                number = next(n for n in count(1) if not (aside / f"{folder.path.name}-{n}").exists())
                folder.path.rename(aside / f"{folder.path.name}-{number}")

    def _refuse_another(self, folder: StrategyFolder, study: Study) -> None:
        if differing := folder.differences(study):
            raise ResultsExistError(
                f"{folder.path}: contains results of a study that differs in {', '.join(differing)}. "
                f"Use another folder with --out DIR, or put these results aside too: --fresh -s {folder.path.name}"
            )

    def write_run(self, table: dict[str, Any]) -> None:
        """Write ``run.toml``."""
        with replaced_atomically(self.run_toml) as file:
            tomli_w.dump(table, file)

    def read_run(self) -> dict[str, Any]:
        """Return the content of ``run.toml``.

        Raises:
            ResultsError: The file is damaged.
        """
        return read_table(self.run_toml, RUN_REMEDY)

    def read_run_document(self) -> RunDocument:
        """Return ``run.toml`` with all fields that are needed to resume the study.

        Raises:
            ResultsError: The file is damaged or contains an unknown strategy.
        """
        run = check(self.read_run(), RunDocument, self.run_toml, RUN_REMEDY)
        listed = run.study.get("strategies")
        known = {*(listed if isinstance(listed, dict) else ()), *STRATEGIES}
        if unknown := [name for name in run.strategies if name not in known]:
            raise ResultsError(f"{self.run_toml}: damaged (strategies: unknown {unknown[0]!r}); {RUN_REMEDY}")
        return run

    def noted_labels(self) -> list[str]:
        """Return the labels of the strategies that earlier commands ran."""
        return self._noted("strategies", list[str]) or []

    def left_to_begin(self) -> list[str]:
        """Return the labels of strategies of earlier commands that have not begun; none if they cannot be read."""
        try:
            return [label for label in self.noted_labels() if not self.strategy(label).study_toml.is_file()]
        except ResultsError:
            return []  # a damaged file is reported where its other values are read

    def noted_paths(self) -> RunPaths:
        """Return the paths that the last command used."""
        return self._noted("options", RunPaths) or RunPaths()

    def noted_settings(self) -> RunSettings | None:
        """Return the paths and resources of the last command; None if they were not written."""
        has_options = self.run_toml.is_file() and "options" in self.read_run()
        return self._noted("options", RunSettings) if has_options else None

    def _noted(self, key: str, kind: type[T]) -> T | None:
        """Return the value of a key of ``run.toml``; None if the file does not exist."""
        if not self.run_toml.is_file():
            return None
        return check_key(key, self.read_run().get(key), kind, self.run_toml, RUN_REMEDY)

    def noted_options(self) -> dict[str, dict[str, Any]]:
        """Return the options of the strategies in the last command's study, by label; empty if they cannot be read."""
        try:
            return dict(self.read_run()["study"]["strategies"])
        except (ResultsError, KeyError, TypeError, ValueError):
            return {}  # a damaged file is reported where its other values are read

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other processes. The lock ends with this process.

        Folders that this call creates and that are empty at the end are removed.

        Raises:
            BusyError: Another process uses the folder.
            ResultsError: The folder cannot be written to, or contains symbolic links.
        """
        created = [path for path in (self.path, *self.path.parents) if not path.exists()]
        descriptor = take_lock(self.path)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            refuse_links(self.path)
            yield
        finally:
            if created and [entry.name for entry in self.path.iterdir()] == [".lock"]:
                (self.path / ".lock").unlink()
                for path in created:
                    if any(path.iterdir()):
                        break
                    path.rmdir()
            os.close(descriptor)
