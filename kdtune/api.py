"""The library's face: what the ``kdtune`` command calls, and what other programs may."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.distill import LOSSES
from kdtune.energy.carbon import Carbon, resolve
from kdtune.energy.flops import Workload
from kdtune.errors import Fault, ResultsError, SpecError, StudyInterrupted, UsageError
from kdtune.files import read_lines
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.outcome import SCHEMA_VERSION, ledger_summary, read_shared, write_result, write_shared
from kdtune.specs import load_study
from kdtune.specs.loading import StudyLike
from kdtune.specs.study import Study
from kdtune.strategies import STRATEGIES
from kdtune.strategies.base import Strategy
from kdtune.tuning.interrupts import Interrupts
from kdtune.tuning.plan import make_strategies
from kdtune.tuning.quiet import quiet_ray
from kdtune.watch import Watcher

ALL = "all"


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Attributes:
        study: The study as it ran.
        folder: ``results/<study>``.
        results: The ``result.json`` document of each strategy that was run, in the order asked for.
        interrupted: Whether the user stopped it.
    """

    study: Study
    folder: Path
    results: list[dict[str, Any]]
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """What the command ends with: 130 interrupted, 1 incomplete, 0 done."""
        if self.interrupted:
            return 130
        return 0 if all(result["status"] == "completed" for result in self.results) else 1

    def as_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {"schema_version": SCHEMA_VERSION, "results": self.results}

    def teacher(self) -> dict[str, Any] | None:
        """The teacher's record, with its energy; None where no strategy used one."""
        for result in self.results:
            folder = StrategyFolder(self.folder / result["strategy"])
            if teacher := read_shared(folder)["teacher"]:
                return dict(teacher)
        return None


def run_study(
    study: StudyLike,
    strategy: str | Sequence[str] = ALL,
    *,
    out: str | Path = "results",
    repeats: int | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    overrides: Sequence[str] = (),
    fresh: bool = False,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | None = None,
    max_concurrent: int | None = None,
    address: str | None = None,
    carbon: Carbon | None = None,
    watcher: Watcher | None = None,
) -> StudyResult:
    """Run competing strategies of a study and charge each with what it used.

    Prints nothing unless a watcher does. A Ray that is initialised already is used and left as it was found.

    Args:
        study: A study's name, the path of its file, a table of the same form, or a loaded study.
        strategy: One strategy, several, or ``all`` that the study lists.
        out: Folder for results; the study gets one of its name inside.
        repeats: Replaces the study's number of repeats.
        seed: Replaces the seed of the first repeat.
        epochs: Replaces the students' epochs; milestones and warm-up move in proportion.
        overrides: ``KEY=VALUE`` texts for any other key of the study.
        fresh: Put earlier results of these strategies aside.
        cpus_per_trial: Cores for each trial, and so torch's threads; results on a CPU depend on it.
        gpus_per_trial: GPUs for each trial; None gives one where the cluster has any.
        max_concurrent: Trials at a time; None leaves it to the cores and GPUs.
        address: Of a running Ray cluster.
        carbon: How energy becomes CO2; the world's average without it.
        watcher: Is told what happens.

    Returns:
        The outcome; a study that was interrupted or has failed trials is one too.

    Raises:
        SpecError: The study or an argument is wrong; every fault found.
        ResultsExistError: There are results already, and ``fresh`` is not set.
        BusyError: Another process is at work in the folder.
        UsageError: A trial asks for more cores or GPUs than there are.
        RayError: Ray does not start.
    """
    spec = load_study(study, overrides=overrides, epochs=epochs, repeats=repeats, seed=seed)
    names = resolve_strategies(spec, strategy)
    made = _make_all(spec, names)
    _check_cores(cpus_per_trial, gpus_per_trial, address)
    folder = StudyFolder(Path(out).expanduser().absolute() / spec.name)
    with folder.locked():
        folder.check_free(spec, names, fresh=fresh)
        run = _Run(
            spec, made, folder, carbon or resolve(), watcher or Watcher(), max_concurrent=max_concurrent, fresh=fresh
        )
        return run.execute(cpus_per_trial, gpus_per_trial, address)


def resume_study(
    path: str | Path,
    *,
    address: str | None = None,
    max_concurrent: int | None = None,
    watcher: Watcher | None = None,
) -> StudyResult:
    """Go on with a study that was interrupted: finished trials are not run again.

    Args:
        path: The study's results folder, or one strategy's inside it.
        address: Of a running Ray cluster.
        max_concurrent: Trials at a time; None leaves it to the cores and GPUs.
        watcher: Is told what happens.

    Returns:
        The outcome of the strategies that the original command ran.

    Raises:
        ResultsError: There is no such folder, or it is damaged.
        BusyError: Another process is at work in it.
        RayError: Ray does not start.
    """
    given = Path(path).expanduser().absolute()
    only = None
    if not (given / "run.toml").is_file() and (given / "study.toml").is_file():
        given, only = given.parent, given.name
    folder = StudyFolder(given)
    if not folder.run_toml.is_file():
        raise ResultsError(f"{path}: not a study's results folder (no run.toml); name the folder under results/")
    with folder.locked():
        try:
            asked = tomllib.loads(folder.run_toml.read_text())
            spec = load_study(asked["study"])
            names = [only] if only else list(asked["strategies"])
            run_options, carbon = asked["options"], Carbon(**asked["carbon"])
        except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
            raise ResultsError(f"{folder.run_toml}: damaged ({error!r})") from None
        run = _Run(
            spec,
            _make_all(spec, names),
            folder,
            carbon,
            watcher or Watcher(),
            max_concurrent=max_concurrent,
            fresh=False,
        )
        return run.execute(run_options["cpus_per_trial"], run_options["gpus_per_trial"], address)


def resolve_strategies(study: Study, asked: str | Sequence[str]) -> list[str]:
    """The strategies to run, each once: ``all`` stands for those that the study lists.

    Raises:
        SpecError: A name is unknown.
    """
    names: list[str] = []
    for name in [asked] if isinstance(asked, str) else asked:
        names += list(study.strategies) if name == ALL else [name]
    if faults := [Fault("--strategy", "", STRATEGIES.unknown(name)) for name in names if name not in STRATEGIES]:
        raise SpecError(faults)
    return list(dict.fromkeys(names))


def _make_all(study: Study, names: Sequence[str]) -> dict[str, list[Strategy]]:
    return {name: make_strategies(study, name) for name in names}


def _check_cores(cpus: float, gpus: float | None, address: str | None) -> None:
    faults = []
    if cpus <= 0 or (cpus > 1 and cpus != int(cpus)):
        faults.append(f"--cpus-per-trial: has to be a whole number, or a fraction below 1, got {cpus:g}")
    if gpus is not None and gpus < 0:
        faults.append(f"--gpus-per-trial: has to be at least 0, got {gpus:g}")
    cores = os.cpu_count() or 1
    if address is None and cpus > cores:  # refused before Ray is started; a cluster is asked when it is reached
        faults.append(f"--cpus-per-trial {cpus:g}: this machine has {cores}; give at most that")
    if faults:
        raise UsageError("\n".join(faults))


class _Run:
    """One command's work on a study's folder."""

    def __init__(
        self,
        study: Study,
        strategies: dict[str, list[Strategy]],
        folder: StudyFolder,
        carbon: Carbon,
        watcher: Watcher,
        *,
        max_concurrent: int | None,
        fresh: bool,
    ) -> None:
        self._study = study
        self._strategies = strategies
        self._folder = folder
        self._carbon = carbon
        self._watcher = watcher
        self._max_concurrent = max_concurrent
        self._fresh = fresh
        self._teacher: dict[str, Any] | None = None

    def execute(self, cpus: float, gpus: float | None, address: str | None) -> StudyResult:
        planned = {name: sum(one.expected_trials() for one in made) for name, made in self._strategies.items()}
        interrupted = False
        self._watcher.started(self._study, planned)
        try:
            with quiet_ray(), Interrupts().watched() as interrupts:
                try:
                    self._run(interrupts, cpus, gpus, address)
                except (KeyboardInterrupt, StudyInterrupted):
                    interrupted = True
        finally:
            self._watcher.ended()
        results = [self._account(name) for name in self._strategies if self._folder.strategy(name).study_toml.exists()]
        return StudyResult(self._study, self._folder.path, results, interrupted)

    def _run(self, interrupts: Interrupts, cpus: float, gpus: float | None, address: str | None) -> None:
        self._watcher.message("starting Ray and the energy meter")
        with interrupts.held_back():
            from kdtune.tuning.session import Session

        session = Session(self._folder, cpus, gpus, address)
        try:
            session.start()
            interrupts.renew()
            interrupts.check()
            self._work(session, interrupts)
        finally:
            session.stop()

    def _work(self, session: Any, interrupts: Interrupts) -> None:
        with interrupts.held_back():
            from kdtune.tuning import jobs
            from kdtune.tuning.runner import StrategyRun, run_job

        if self._fresh:
            self._folder.put_aside(list(self._strategies))
        resources = session.resources
        self._folder.write_run(
            {
                "strategies": list(self._strategies),
                "repeats": self._study.repeats,
                "seed": self._study.seed,
                "options": {"cpus_per_trial": resources.cpus, "gpus_per_trial": resources.gpus},
                "carbon": {key: value for key, value in self._carbon.as_record().items() if value is not None},
                "study": self._study.model_dump(mode="json", exclude_none=True),
            }
        )
        self._watcher.message("looking at the data and the networks")
        inspection = run_job(resources, jobs.inspect_study, self._study, resources)
        interrupts.check()
        teacher_folder = Path(inspection.teacher_folder)
        if any(self._needs_teacher(name) for name in self._strategies):
            self._obtain_teacher(session, teacher_folder, Workload(**inspection.workload))
        resolved = {
            "cpus_per_trial": resources.cpus,
            "gpus_per_trial": resources.gpus,
            "precision": "float32",
            "memory_layout": "contiguous",
            "teacher_logits": "live",
            "teacher": teacher_folder.name,
            "workload": inspection.workload,
            "versions": inspection.versions,
        }
        for name, strategies in self._strategies.items():
            folder = self._folder.strategy(name)
            folder.path.mkdir(parents=True, exist_ok=True)
            if not folder.study_toml.exists():
                folder.write_study(self._study, resolved)
            run = StrategyRun(self._study, strategies, folder, session, self._watcher, self._max_concurrent)
            if run.log.status == "completed":
                continue
            interrupts.check()
            try:
                run.run()
            finally:
                # Written again when the session's own cost is final; a crash in between leaves a true outcome.
                self._account(name)

    def _needs_teacher(self, name: str) -> bool:
        return bool(STRATEGIES[name].facts.get("needs_teacher", LOSSES[self._study.loss].facts["needs_teacher"]))

    def _obtain_teacher(self, session: Any, folder: Path, workload: Workload) -> None:
        from kdtune.distill.teacher import alone_in, read_record
        from kdtune.tuning import jobs
        from kdtune.tuning.runner import run_job

        with alone_in(folder):
            if read_record(folder) is None:
                (folder / "epochs.jsonl").unlink(missing_ok=True)
                self._watcher.message(f"training the teacher, {self._study.teacher}")
                with session.charging(folder / "ledger"):
                    run_job(
                        session.resources,
                        jobs.train_teacher,
                        self._study,
                        session.resources,
                        session.id,
                        str(folder),
                        poll=lambda: self._tell_teacher(folder / "epochs.jsonl"),
                    )
        record = read_record(folder)
        assert record is not None
        self._teacher = {
            "key": folder.name,
            **record,
            "gflops_millions": workload.teacher_flops(record["epochs"]) / 1e15,
            "energy": ledger_summary(folder / "ledger"),
        }

    def _tell_teacher(self, epochs: Path) -> None:
        if lines := read_lines(epochs):
            self._watcher.teacher_epoch(self._study.teacher_training.epochs, lines[-1])

    def _account(self, name: str) -> dict[str, Any]:
        folder = self._folder.strategy(name)
        write_shared(folder, self._folder, self._teacher if self._needs_teacher(name) else None)
        return write_result(folder, self._carbon)
