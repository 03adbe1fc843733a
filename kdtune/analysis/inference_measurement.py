"""Measurement of the energy and time of inference with a study's student and teacher, compared with the charges.

Corresponds to PLOS ONE 2023, e0285668, Figure 1 b and c: time and CO2 of one pass over the test images.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtune.analysis.find_results import Places
from kdtune.analysis.finished_strategies import FinishedStrategy, find_finished
from kdtune.analysis.inference_setting import InferenceSetting, check_arguments, setting_of
from kdtune.analysis.payback import paybacks
from kdtune.catalog.metric import ACCURACY
from kdtune.data.sources import available_images
from kdtune.energy.attribution import SHARED_NODE
from kdtune.energy.carbon import Carbon
from kdtune.energy.ledger import read_folder
from kdtune.energy.meter import Meter
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.sampler import Sampler
from kdtune.energy.sensors.node import NodeSensors
from kdtune.energy.window_account import account_of
from kdtune.errors import ResultsError, UsageError
from kdtune.results.cost_document import Node
from kdtune.results.folder import StudyFolder
from kdtune.results.inference_document import (
    SCHEMA_VERSION,
    ChargedOn,
    InferenceDocument,
    MeteredTurn,
    Network,
    network_in_use,
    saved_uj_per_image,
)
from kdtune.results.strategy_result import Computed
from kdtune.results.watcher import contained
from kdtune.results.write_access import refuse_links
from kdtune.specs.component import Component
from kdtune.storage.checksums import with_checksum
from kdtune.storage.files import exclusive_lock, write_json
from kdtune.storage.paths import noted_data_dir
from kdtune.tasks.task import Metrics

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext


def measure_inference(
    places: Places,
    *,
    batch_size: int = 128,
    seconds: float = 10.0,
    cpus: int | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    carbon: Carbon | Callable[[Carbon], Carbon] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[InferenceDocument]:
    """Measure the energy and time of inference, and when the student has repaid its charge.

    Teacher and student classify the study's test images repeatedly in this process, in turns, under the energy meter.
    The students of a study's strategies differ in their weights only, so one of them is timed, and all are tested. The
    results are written to the ``inference.json`` of each strategy; the ledger is stored with the strategy whose student
    was timed. The energy of the measurement is charged to no strategy.

    Args:
        places: Folders of finished strategies or of studies. Other places are skipped with a warning.
        batch_size: Images per batch.
        seconds: Minimum total time of each network, in whole passes.
        cpus: CPU threads; by default as many as in the study's trainings.
        device: ``cpu`` or ``cuda``. By default the study's device, which must be of the same model as this machine's.
        data_dir: Folder of the data sets; by default the one that the study used.
        download: Download the data set if it is missing or damaged. Otherwise no connection is made.
        carbon: Settings for CO2, or a function that changes those with which a strategy ran; by default the settings
            with which each strategy ran.
        tell: Receives a message before each measurement.

    Returns:
        The content of each strategy's ``inference.json``. Strategies that were measured together are adjacent.

    Raises:
        ResultsError: No folder has results, or they are unfinished or damaged, or a network is missing.
        UsageError: An argument is invalid, or the study ran on another machine or other data.
        DataError: The data set is missing, incomplete or damaged.
    """
    from kdtune.analysis.inference_passes import restored_threads

    check_arguments(batch_size, seconds, cpus, device)
    tell = contained(tell)
    groups = _by_networks(find_finished(places, carbon))
    with restored_threads():
        sensors = NodeSensors()
        hardware = sensors.hardware()
        # Everything is checked before anything is written.
        ready = []
        for group in groups:
            setting = setting_of(group[0], batch_size, seconds, cpus, device, sensors, hardware)
            ready.append((group, setting, _training_context(group[0], setting, data_dir, download=download)))
            read_folder(group[0].folder.inference_ledger)  # raises an error if an earlier ledger is damaged
        documents = []
        for group, setting, context in ready:
            path = group[0].folder.path
            tell(f"measuring {path.parent.name}/{path.name} on {setting.device_name}, {2 * seconds:g} s or more")
            with _reported_write_errors(path):
                documents += _measure(group, setting, context)
    return documents


def _by_networks(finished: Iterable[FinishedStrategy]) -> list[list[FinishedStrategy]]:
    """Group strategies that are measured together because they share their networks."""
    groups: dict[tuple[Any, ...], list[FinishedStrategy]] = {}
    for one in finished:
        groups.setdefault(one.networks, []).append(one)
    return list(groups.values())


@contextmanager
def _reported_write_errors(path: Path) -> Iterator[None]:
    """Raise a ResultsError that names the file if results below ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        raise ResultsError(f"{error.filename or path}: cannot be written ({error.strerror})") from None


def _training_context(
    one: FinishedStrategy, setting: InferenceSetting, data_dir: str | Path | None, *, download: bool
) -> "TrainingContext":
    """Return the study's data and networks on the device of the measurement.

    Raises:
        DataError: The data set is missing, incomplete or damaged.
        UsageError: The study ran on other data.
    """
    from kdtune.artifacts.device_choice import pick_device
    from kdtune.artifacts.training_context import TrainingContext

    study_folder = StudyFolder(one.folder.path.parent)
    place = noted_data_dir(data_dir, study_folder.noted_paths().data_dir, study_folder.run_toml)
    available_images(one.study, place, download=download)
    context = TrainingContext(
        one.study, pick_device(setting.resources.gpus), setting.resources.threads, str(place.path)
    )
    if context.arrays.fingerprint != one.resolved.data:
        raise UsageError(
            f"{one.folder.path}: the study ran on other files of {one.study.dataset} than those in {place}; name the "
            "folder of the original files with --data-dir DIR"
        )
    return context


def _measure(
    group: list[FinishedStrategy], setting: InferenceSetting, context: "TrainingContext"
) -> list[InferenceDocument]:
    """Time the networks that a group of strategies shares, test each student, and write the results."""
    import torch

    from kdtune.analysis.inference_passes import metrics_of, parameters, ready_student, ready_teacher, take_turns

    torch.set_num_threads(context.threads)
    first, test = group[0], context.test_part
    refuse_links(first.folder.path.parent)
    how = (test, context.arithmetic, setting.batch_size)
    # All networks are read and warmed up before anything is written.
    students = [ready_student(context, one.student_file) for one in group]
    teacher = ready_teacher(context, first.teacher_folder)
    of_students = [metrics_of(context.task, student, *how) for student in students]
    of_teacher = metrics_of(context.task, teacher, *how)

    networks = {"teacher": teacher, "student": students[0]}
    ledger = first.folder.inference_ledger / f"{setting.hardware.node}.jsonl"
    lock = exclusive_lock(ledger.parents[1], remedy="copy the results to a local disk")
    with lock, _metering(setting, ledger) as meter:
        taken = take_turns(context.task, networks, *how, setting.seconds, meter, setting.resources.cpus, setting.gpus)
    records = read_folder(ledger.parent)[ledger.stem]
    metered = {
        name: [MeteredTurn(turn.passes * len(test), turn.wall_s, account_of(records, turn.window)) for turn in turns]
        for name, turns in taken.items()
    }
    workload, documents = first.resolved.workload, []
    sizes = {role: parameters(network) for role, network in networks.items()}
    for one, of_student in zip(group, of_students, strict=True):
        recorded, objective = one.result.repeats[0].test or {}, one.result.objective
        described = {
            "teacher": _network(
                *(one.study.teacher, sizes["teacher"], workload.teacher_macs),
                *(of_teacher, one.teacher["test"], objective),
            ),
            "student": _network(
                *(one.study.student, sizes["student"], workload.student_macs),
                *(of_student, recorded, objective),
            ),
        }
        documents.append(_document(one, first, setting, described, metered, len(test)))
        write_json(one.folder.inference, with_checksum(documents[-1].as_json()))
    return documents


def _network(
    component: Component, parameters: int, macs: int, found: Metrics, recorded: Metrics, objective: str | None
) -> Network:
    """Return what is known of a network, with its metrics on the test images now and when the study ran."""
    return Network(
        *(str(component), parameters, macs, found.get(ACCURACY), recorded.get(ACCURACY)),
        test_objective=found.get(objective) if objective else None,
        recorded_test_objective=recorded.get(objective) if objective else None,
    )


@contextmanager
def _metering(setting: InferenceSetting, ledger: Path) -> Iterator[Meter]:
    """Meter this process into a ledger, taking into account other studies on the machine."""
    registry = MeterRegistry(f"inference-{uuid.uuid4().hex[:12]}")
    registry.register()
    meter = Meter(setting.sensors, setting.hardware, registry)
    try:
        meter.begin(ledger)
        sampler = Sampler(meter)
        try:
            yield meter
        finally:
            sampler.stop()
            meter.switch(None)
    finally:
        registry.deregister_now()


def _document(
    one: FinishedStrategy,
    timed: FinishedStrategy,
    setting: InferenceSetting,
    networks: Mapping[str, Network],
    metered: Mapping[str, Sequence[MeteredTurn]],
    test_images: int,
) -> InferenceDocument:
    """Return the content of a strategy's ``inference.json``."""
    cost, dedicated = one.result.cost, one.study.is_dedicated
    teacher, student = (
        network_in_use(networks[role], metered[role], test_images, dedicated=dedicated, carbon=cost.carbon)
        for role in ("teacher", "student")
    )
    saved_uj = saved_uj_per_image(metered["teacher"], metered["student"], dedicated=dedicated)
    shared = any(SHARED_NODE in network.flags for network in (teacher, student))
    return InferenceDocument(
        schema_version=SCHEMA_VERSION,
        study=one.result.study,
        strategy=one.result.strategy,
        timed_student=timed.result.strategy,
        test_images=test_images,
        batch_size=setting.batch_size,
        seconds=setting.seconds,
        device=setting.device,
        device_name=setting.device_name,
        threads=setting.resources.threads,
        # Networks are compiled for training only.
        computed=Computed(**{**one.study.numerics.resolved().model_dump(), "compile": "off"}),
        attribution=one.study.attribution,
        teacher=teacher,
        student=student,
        saved_uj_per_image=tuple(saved_uj),
        payback=paybacks(saved_uj, cost, shared=shared),
        charged=ChargedOn(cost.quality, cost.hardware),
        hardware=(Node.of(setting.hardware),),
        carbon=cost.carbon,
        objective=one.result.objective,
        objective_info=one.result.objective_info,
    )
