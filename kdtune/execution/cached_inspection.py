"""Inspection of a study before it runs, done by a worker once and cached for later commands."""

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kdtune import __version__
from kdtune.artifacts.compiled_code import KIND as COMPILATIONS
from kdtune.artifacts.synthetic_images import KIND as IMAGES
from kdtune.artifacts.teacher_record import read_record
from kdtune.data.published import published_fingerprint
from kdtune.energy.flops import Workload
from kdtune.energy.ledger import read_folder
from kdtune.energy.sensors.node import Hardware, boot_id
from kdtune.execution.inspection_job import inspect_study
from kdtune.execution.run_context import RunContext
from kdtune.forecast.ledger_phases import session_charge
from kdtune.forecast.strategy_estimate import TimeAndEnergy, WorkKind
from kdtune.planning.first_rounds import foreign_digests
from kdtune.planning.inspection import Inspection
from kdtune.planning.resources import Resources
from kdtune.specs.study import Study
from kdtune.specs.teacher_identity import teacher_key
from kdtune.storage.files import read_whole, replaced_atomically
from kdtune.storage.paths import cache_dir
from kdtune.storage.records import parsed

#: Fields of a study that do not influence its inspection.
_DESCRIPTIVE = {"name", "description"}


@dataclass(frozen=True)
class StudyFacts:
    """Facts about a study on this machine, known before it runs.

    Attributes:
        inspection: Inspection of its data and networks.
        hardware: Hardware on which steps were timed; None if none were timed, or with several machines.
        start: Time and energy of starting the executor in the command that inspected; None if unknown.
    """

    inspection: Inspection
    hardware: Hardware | None
    start: TimeAndEnergy | None


class CachedInspection:
    """Cache entry for the inspection of one study, valid until this machine restarts."""

    def __init__(
        self,
        study: Study,
        resources: Resources,
        data: Path,
        gpus: Collection[str],
        kinds: Collection[WorkKind],
        workers: int = 1,
        executor: str = "ray",
    ) -> None:
        """Determine the path of the entry without reading it.

        Args:
            study: The study that is about to run.
            resources: Resources of each trial.
            data: Folder with the data sets.
            gpus: UUIDs of the usable GPUs of this machine.
            kinds: Kinds of work whose steps are timed; empty if no estimate is needed.
            workers: Number of workers that train at the same time.
            executor: Kind of the executor, whose start is one of the facts.
        """
        source = published_fingerprint(study.dataset.name, data)
        depends_on: dict[str, Any] = {
            "study": study.model_dump(mode="json", exclude=_DESCRIPTIVE),
            "resources": asdict(resources),
            "data": [str(data), source],
            "gpus": sorted(gpus),
            "kinds": sorted(kinds),
            "workers": workers,
            "executor": executor,
            "teacher": teacher_key(study, resources.threads),  # changes with the way in which teachers are trained
            "versions": [__version__, *map(version, ("torch", "torchvision", "ray", "scikit-learn"))],
            "boot": boot_id(),
            "strategies": foreign_digests(study),  # a study names them without their digests
        }
        key = sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
        names = "-".join(one.slug for one in (study.dataset, study.teacher, study.student))
        self._path = cache_dir() / "inspections" / f"{names}-{key}.json"

    def read(self) -> StudyFacts | None:
        """Return the cached facts, or None if a worker has to inspect the study again.

        That is so if the inspection had remarks, or if the teacher or its logits are not in the cache.
        """
        with suppress(OSError, ValueError):  # the entry is missing, damaged or from another release
            seal, _, content = read_whole(self._path).partition(b"\n")
            if seal != _seal(content):
                return None
            kept = _ADAPTER.validate_json(content)
            found = kept.inspection
            parsed(found.workload, Workload)
            if not _lies_in_cache(found):
                return None
            whole = not found.remarks and not any(store.missing_epochs() for store in found.logit_stores)
            if whole and all(read_record(Path(folder)) for folder in found.teacher_folders):
                return replace(kept, inspection=replace(found, missing_teachers=0))
        return None

    def keep(self, known: StudyFacts) -> None:
        """Write the facts to the cache; a cache that cannot be written is ignored."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replaced_atomically(self._path, sync=False) as file:
                content = _ADAPTER.dump_json(known)
                file.write(_seal(content) + b"\n" + content)


_ADAPTER = TypeAdapter(StudyFacts)


def _seal(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


def _lies_in_cache(found: Inspection) -> bool:
    """Return whether all paths of an inspection lie in the cache, since other users may write to a shared cache."""
    teachers, logits, code, images = (
        cache_dir() / kind for kind in ("teachers", "teacher-logits", COMPILATIONS, IMAGES)
    )
    places = [
        *((Path(folder), teachers) for folder in found.teacher_folders),
        *((store.folder, logits) for store in found.logit_stores),
    ]
    places += [(found.synthesis.folder, images)] if found.synthesis else []
    places += [(Path(folder), code) for folder in found.compilations.values()]
    return all(path.parent == place and path.name != ".." for path, place in places)


def inspected(study: Study, context: RunContext, kinds: Collection[WorkKind]) -> StudyFacts:
    """Return the facts of a study: the cached ones of this machine, or else those that a worker determines.

    Args:
        study: The study that is about to run.
        context: The session, whose executor runs and meters the inspection.
        kinds: Kinds of work whose steps are timed; empty if no estimate is needed.
    """
    executor, data = context.executor, context.data.path
    resources, workers, kept = executor.resources, executor.slots, None
    if executor.is_on_one_machine:
        kept = CachedInspection(study, resources, data, executor.gpus, kinds, workers, executor.kind)
    if kept and (found := kept.read()):
        return found
    context.watcher.message("inspecting the data and the networks")
    executor.settle()
    hardware = _hardware_of(executor.folder) if kinds else None
    given = study, resources, str(data), hardware, kinds, executor.id, workers
    inspection: Inspection = executor.run_job(inspect_study, *given, poll=context.check_budget)
    so_far = list(read_folder(executor.folder).values())
    known = StudyFacts(inspection, hardware, session_charge(so_far[0]) if hardware and so_far else None)
    if kept:
        kept.keep(known)
    return known


def _hardware_of(ledger: Path) -> Hardware | None:
    """Return the hardware of a ledger's machine; None for several machines, whose energy is not estimated."""
    found = {
        name: record.hardware
        for name, records in read_folder(ledger).items()
        for record in records
        if record.hardware is not None
    }
    return next(iter(found.values())) if len(found) == 1 else None
