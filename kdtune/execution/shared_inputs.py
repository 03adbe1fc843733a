"""What a study's strategies share and a session makes where the cache lacks it.

The teacher, its logits, and the code of networks that are compiled.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdtune.artifacts.compiled_code import Compilation
from kdtune.artifacts.logit_store import FILLINGS, SINGLE, LogitStore
from kdtune.artifacts.teacher_record import epoch_journal, read_record
from kdtune.energy.flops import Workload
from kdtune.execution import jobs
from kdtune.execution.ray.dispatch import run_job, run_jobs
from kdtune.execution.ray.session import Session
from kdtune.planning.budget import BudgetWatch
from kdtune.results.energy_spent import note_made
from kdtune.results.shared_costs import ledger_summary
from kdtune.results.shared_document import LedgerSummary
from kdtune.results.watcher import Watcher
from kdtune.specs.study import Study
from kdtune.storage.files import alone_in, in_use

#: Seconds between two looks whether another command has made what is waited for.
WAIT_S = 0.5


class SharedInputs:
    """Looks for what strategies share, and has it made by one process at a time; others wait, and then find it."""

    def __init__(
        self,
        study: Study,
        session: Session,
        watcher: Watcher,
        budget: BudgetWatch,
        data: str,
        max_concurrent: int | None = None,
    ) -> None:
        """Prepare; nothing is looked for yet.

        Args:
            study: With nothing left open.
            session: Ray and the meters.
            watcher: Is told what happens.
            budget: What may be used.
            data: The folder with the data sets.
            max_concurrent: Jobs at a time at most; None leaves it to the cores and GPUs.
        """
        self._study = study
        self._session = session
        self._watcher = watcher
        self._budget = budget
        self._data = data
        self._max_concurrent = max_concurrent
        #: What was looked for, as long as this lives: nobody is to remove it while the study runs.
        self._using = ExitStack()

    def teacher(self, folder: Path, workload: Workload) -> dict[str, Any]:
        """The teacher's record and the energy of making it; trained first, or measured, where that is due.

        Of a teacher that was given nobody knows what its training took: its energy is that of measuring it.

        Args:
            folder: The teacher's, in the cache.
            workload: Sizes, for FLOPs.

        Raises:
            BudgetReached: What may be used is used up.
            KdtuneError: The training failed.
        """
        self._using.enter_context(in_use(folder))
        with self._alone(folder, "the teacher"):
            if read_record(folder) is None:
                note_made(self._session.folder, folder)
                with self._session.charging(folder / "ledger"):
                    if self._study.teacher_weights:
                        self._measure(folder)
                    else:
                        self._train(folder)
        record = read_record(folder)
        assert record is not None
        epochs = record["epochs"]
        return {
            **record,
            "key": folder.name,
            "gflops_millions": None if epochs is None else workload.teacher_flops(epochs) / 1e15,
            "energy": self._teacher_energy(folder, epochs),
        }

    def _teacher_energy(self, folder: Path, epochs: int | None) -> LedgerSummary | None:
        """What making the teacher took; None where somebody else's pipeline trained it, or a part of its epochs.

        Args:
            folder: The teacher's, in the cache.
            epochs: Of its training; None of one that was given.
        """
        journal = epoch_journal(folder)
        metered = {metrics.get("epoch") for metrics in journal.read()}
        if epochs and metered and len(metered) < epochs:
            return None
        return ledger_summary(folder / "ledger", dedicated=self._study.is_dedicated)

    def _alone(self, folder: Path, what: str) -> AbstractContextManager[None]:
        """Nobody else makes what is in a folder; another command that does is waited for, on nobody's bill."""

        def wait(is_had: Callable[[], bool]) -> None:
            with self._session.charging(self._session.waiting):
                self._watcher.message(f"another command is making {what}; waiting for it")
                while not is_had():
                    self._budget.check_now(self._session)
                    time.sleep(WAIT_S)

        return alone_in(folder, wait=wait)

    def _train(self, folder: Path) -> None:
        journal = epoch_journal(folder)
        if not (folder / "checkpoints").exists():  # else an earlier training goes on
            journal.path.unlink(missing_ok=True)
        again = ", anew: what the cache has is not whole" if (folder / "teacher.pt").exists() else ""
        self._watcher.message(f"training the teacher, {self._study.teacher}{again}")

        def look() -> None:
            self._budget.check_now(self._session)
            if epochs := journal.read():
                self._watcher.teacher_epoch(self._study.teacher_training.epochs, epochs[-1])

        run_job(self._session, jobs.train_teacher, *self._given, str(folder), poll=look)

    def _measure(self, folder: Path) -> None:
        self._watcher.message(f"measuring the teacher that was given, {self._study.teacher}")
        run_job(
            self._session,
            jobs.measure_teacher,
            *self._given,
            str(folder),
            poll=lambda: self._budget.check_now(self._session),
        )

    def logits(self, stores: list[LogitStore]) -> dict[str, dict[str, Any]]:
        """By a store's name: how many passes of the teacher filled it, and their energy; filled first where it is due.

        Args:
            stores: Of the repeats, in their order.

        Raises:
            BudgetReached: What may be used is used up.
            KdtuneError: The disk cannot hold them, or a worker failed.
        """
        logits = {}
        for store, seed in zip(stores, self._study.seeds(), strict=False):
            self._using.enter_context(in_use(store.folder))
            with self._alone(store.folder, "the teacher's logits"):
                self._fill(store, seed)
            logits[store.folder.name] = {
                "passes": store.shape.epochs * store.shape.images,
                "energy": ledger_summary(store.ledger, dedicated=self._study.is_dedicated),
            }
        return logits

    def _fill(self, store: LogitStore, seed: int) -> None:
        if store.missing_epochs():
            self._ask(store, seed)
        elif ledger_summary(store.ledger, dedicated=True) is None:
            # Somebody else's pipeline filled it, unmetered: what it takes is found out by doing it again. Beside it,
            # since others may be reading; and its ledger becomes the store's when it is whole.
            again = replace(store, folder=store.folder / "again")
            self._ask(again, seed)
            _put_in_place(again.ledger, store.ledger)
            shutil.rmtree(again.folder)

    def _ask(self, store: LogitStore, seed: int) -> None:
        session = self._session
        note_made(session.folder, store.folder)
        self._watcher.message(f"asking the teacher once for all trainings with seed {seed}")
        store.create()
        with session.charging(store.ledger):
            for _ in range(FILLINGS):
                missing = store.missing_epochs()
                parts = min(len(missing), session.slots, self._max_concurrent or session.slots)
                run_jobs(
                    session,
                    jobs.fill_logits,
                    [(*self._given, seed, missing[part::parts], str(store.folder)) for part in range(parts)],
                    poll=lambda: self._budget.check_now(session),
                )
        if store.dtype == SINGLE:
            self._watcher.message("the teacher's logits exceed float16's range; they are kept in float32")

    def compilation(self, folder: Path, *, asks_teacher: bool) -> dict[str, dict[str, Any]]:
        """By a compilation's name, the energy that it took; done first where it is due.

        Args:
            folder: The compilation's, in the cache.
            asks_teacher: Whether a teacher that is asked in every step is compiled too.

        Raises:
            BudgetReached: What may be used is used up.
            CompileError: There is no compiler, or it fails.
        """
        one = Compilation(folder)
        self._using.enter_context(in_use(folder))
        with self._alone(folder, "the code of the networks"):
            if not one.is_made():
                note_made(self._session.folder, folder)
                if ledger_summary(one.ledger, dedicated=True) is None:
                    shutil.rmtree(one.code, ignore_errors=True)  # nobody knows what it took
                self._compile(one, asks_teacher=asks_teacher)
            elif ledger_summary(one.ledger, dedicated=True) is None:
                # What it takes is found out by doing it again: beside it, since others may be at work with it.
                note_made(self._session.folder, folder)
                again = Compilation(folder / "again")
                shutil.rmtree(again.folder, ignore_errors=True)  # code that is left there would make it seem cheap
                self._compile(again, asks_teacher=asks_teacher)
                _put_in_place(again.ledger, one.ledger)
                shutil.rmtree(again.folder)
        return {folder.name: {"energy": ledger_summary(one.ledger, dedicated=self._study.is_dedicated)}}

    def _compile(self, one: Compilation, *, asks_teacher: bool) -> None:
        session, study = self._session, self._study
        networks = f"{study.teacher} and {study.student}" if asks_teacher else study.student
        self._watcher.message(f"compiling {networks} once for all trainings")
        with session.charging(one.ledger):
            run_job(
                session,
                jobs.compile_networks,
                *(study, session.resources, self._data, session.id, str(one.folder), asks_teacher),
                poll=lambda: self._budget.check_now(session),
                # In a process of its own: what another job has compiled there would not be generated here again.
                environment=one.environment,
            )
        one.note_made()

    @property
    def _given(self) -> tuple[Any, ...]:
        """What every job is given first."""
        return self._study, self._session.resources, self._data, self._session.id


def _put_in_place(ledger: Path, place: Path) -> None:
    """Move a ledger to where one is that tells nothing, or none."""
    shutil.rmtree(place, ignore_errors=True)
    ledger.replace(place)
