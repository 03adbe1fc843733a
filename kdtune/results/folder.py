"""The layout of a study's folder, and who may work in it."""

import os
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
from kdtune.results.run_document import RunDocument, RunPlaces
from kdtune.results.write_access import refuse_links, take_lock
from kdtune.specs.study import Study
from kdtune.storage.files import replaced_atomically

ABANDONED = "abandoned"

T = TypeVar("T")

#: What to do about a damaged ``run.toml``.
RUN_REMEDY = "put a copy of it in its place, or delete it; 'kdtune study' writes it"


@dataclass(frozen=True)
class StrategyFolder(FrozenStudy):
    """``results/<study>/<strategy>/``: everything that one strategy did."""

    @property
    def study(self) -> "StudyFolder":
        """The folder of its study, of one that was put aside too."""
        return StudyFolder(self.path.parent.parent if self.path.parent.name == ABANDONED else self.path.parent)

    @property
    def ledger(self) -> Path:
        """Folder of the energy ledgers, one file a node."""
        return self.path / "ledger"

    @property
    def trials(self) -> Path:
        """The trial log."""
        return self.path / "trials.jsonl"

    @property
    def epochs(self) -> Path:
        """One line an epoch."""
        return self.path / "epochs.jsonl"

    @property
    def shared(self) -> Path:
        """What the strategy shares with others: sessions and the teacher, each with its energy."""
        return self.path / "shared.json"

    @property
    def result(self) -> Path:
        """The outcome, made from the files beside it."""
        return self.path / "result.json"

    @property
    def estimate(self) -> Path:
        """What it was expected to take, from before it ran."""
        return self.path / "estimate.json"

    @property
    def predictions(self) -> Path:
        """The chosen models' predictions on the test images, one array a repeat."""
        return self.path / "predictions.npz"

    @property
    def inference(self) -> Path:
        """What its student takes in use, beside the teacher."""
        return self.path / "inference.json"

    @property
    def inference_ledger(self) -> Path:
        """Folder of the energy ledger of measuring that; charged to no strategy."""
        return self.path / "inference" / "ledger"

    def checkpoints(self, trial_id: str) -> Path:
        """Folder of a trial's checkpoints."""
        return self._checkpoints / trial_id

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def drop_checkpoints(self) -> None:
        """Remove the checkpoints of all trials: there is nothing left to go on with."""
        shutil.rmtree(self._checkpoints, ignore_errors=True)

    def weights(self, seed: int, first_seed: int) -> Path:
        """The chosen model of a repeat: ``student.pt`` for the first."""
        return self._of_repeat("student", ".pt", seed, first_seed)

    def document(self, name: str, seed: int, first_seed: int) -> Path:
        """A task's CSV file about a repeat's chosen model, such as ``confusion``: ``confusion.csv`` for the first."""
        return self._of_repeat(name, ".csv", seed, first_seed)

    def _of_repeat(self, stem: str, suffix: str, seed: int, first_seed: int) -> Path:
        return self.path / (f"{stem}{suffix}" if seed == first_seed else f"{stem}-{seed}{suffix}")


@dataclass(frozen=True)
class StudyFolder:
    """``results/<study>/``: one folder a strategy, and what they share."""

    path: Path

    @property
    def run_toml(self) -> Path:
        """What was asked."""
        return self.path / "run.toml"

    @property
    def remedy(self) -> str:
        """What to tell of a study that was not finished."""
        return f"Not finished. Go on with: kdtune resume {self.path}"

    def session(self, session_id: str) -> Path:
        """Folder of the energy ledgers of a session: Ray's start and end, outside every strategy."""
        return self.path / "sessions" / session_id

    def strategy(self, name: str) -> StrategyFolder:
        """The folder of a strategy."""
        return StrategyFolder(self.path / name)

    def strategies(self) -> list[StrategyFolder]:
        """The strategies that have been run, in the study's order, then in the registry's."""
        order = {label: place for place, label in enumerate(dict.fromkeys([*self.asked_labels(), *STRATEGIES]))}
        found = [StrategyFolder(path.parent) for path in self.path.glob("*/study.toml")]
        return sorted(found, key=lambda folder: (order.get(folder.path.name, len(order)), folder.path.name))

    def abandoned(self, name: str) -> list[StrategyFolder]:
        """Earlier runs of a strategy that ``--fresh`` put aside; they stay on the books."""
        found = sorted(self.path.glob(f"{ABANDONED}/{escape(name)}-*/study.toml"))
        folders = [StrategyFolder(path.parent) for path in found]
        return [folder for folder in folders if folder.path.name.removeprefix(f"{name}-").isdigit()]

    def check_free(self, study: Study, names: list[str], *, fresh: bool) -> None:
        """Make sure that strategies may be run here.

        Args:
            study: What is to run.
            names: The strategies.
            fresh: Earlier runs of these strategies will be put aside.

        Raises:
            ResultsExistError: One has been run here before, or the folder holds another study's results.
        """
        existing = [self.strategy(name) for name in names if self.strategy(name).path.exists()]
        if existing and not fresh:
            changed = next((found for folder in existing if (found := folder.differences(study))), [])
            command = f"kdtune resume {shlex.quote(str(self.path))}"
            raise ResultsExistError(
                f"{', '.join(str(folder.path) for folder in existing)}: results exist already and are never overwritten"
                + (f"; this study differs from theirs in {', '.join(changed)}" if changed else "")
                + f". Go on{' with theirs' if changed else ''} with '{command}', write elsewhere with --out DIR, "
                "or put them aside with --fresh"
            )
        for folder in self.strategies():
            if folder.path.name not in names:
                self._refuse_another(folder, study)

    def put_aside(self, names: list[str]) -> None:
        """Move earlier runs of strategies out of the way; their energy stays on the books."""
        for folder in (self.strategy(name) for name in names):
            if folder.path.exists():
                aside = self.path / ABANDONED
                aside.mkdir(exist_ok=True)
                number = next(n for n in count(1) if not (aside / f"{folder.path.name}-{n}").exists())
                folder.path.rename(aside / f"{folder.path.name}-{number}")

    def _refuse_another(self, folder: StrategyFolder, study: Study) -> None:
        if differing := folder.differences(study):
            raise ResultsExistError(
                f"{folder.path}: holds results of a study that differs in {', '.join(differing)}. "
                f"Write elsewhere with --out DIR, or put it aside as well: --fresh -s {folder.path.name}"
            )

    def write_run(self, table: dict[str, Any]) -> None:
        """Note what was asked."""
        with replaced_atomically(self.run_toml) as file:
            tomli_w.dump(table, file)

    def read_run(self) -> dict[str, Any]:
        """What was asked.

        Raises:
            ResultsError: It is damaged.
        """
        return read_table(self.run_toml, RUN_REMEDY)

    def read_whole_run(self) -> RunDocument:
        """What was asked, with all that a resume relies on.

        Raises:
            ResultsError: It is damaged, or names a strategy that there is not.
        """
        run = check(self.read_run(), RunDocument, self.run_toml, RUN_REMEDY)
        listed = run.study.get("strategies")
        known = {*(listed if isinstance(listed, dict) else ()), *STRATEGIES}
        if unknown := [name for name in run.strategies if name not in known]:
            raise ResultsError(f"{self.run_toml}: damaged (strategies: unknown {unknown[0]!r}); {RUN_REMEDY}")
        return run

    def asked_strategies(self) -> list[str]:
        """The strategies of earlier commands that noted them here, by label."""
        return self._asked("strategies", list[str]) or []

    def asked_places(self) -> RunPlaces:
        """Where the last command that noted it here had its files."""
        return self._asked("options", RunPlaces) or RunPlaces()

    def _asked(self, key: str, kind: type[T]) -> T | None:
        """A value of ``run.toml``; None where there is no such file."""
        if not self.run_toml.is_file():
            return None
        return check_key(key, self.read_run().get(key), kind, self.run_toml, RUN_REMEDY)

    def asked_labels(self) -> dict[str, dict[str, Any]]:
        """What earlier commands' studies list, by label: the options; nothing where that is not noted."""
        try:
            return dict(self.read_run()["study"]["strategies"])
        except (ResultsError, KeyError, TypeError, ValueError):
            return {}  # whoever needs the rest of the file tells what is wrong with it

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out while this one works here; a lock dies with its process.

        Folders that this created and that hold nothing in the end go away again.

        Raises:
            BusyError: Another process works here.
            ResultsError: The folder cannot be written, or has links in it.
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
