"""What a study's student takes in use, beside its teacher: measured here and now, and held against what it was charged.

Corresponds to PLOS ONE 2023, e0285668, Figure 1 b and c: time and CO2 of one pass over the test images.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtune.analysis.collection import Places
from kdtune.analysis.finished_strategies import Finished, find_finished
from kdtune.analysis.payback import paybacks
from kdtune.data.sources import available_images
from kdtune.energy.attribution import SHARED_NODE
from kdtune.energy.carbon import Carbon
from kdtune.energy.ledger import read_folder
from kdtune.energy.meter import Meter
from kdtune.energy.neighbours import Neighbourhood
from kdtune.energy.sampler import Sampler
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.energy.window_account import account_of
from kdtune.errors import ResultsError, UsageError
from kdtune.planning.resources import Resources, gpu_shares
from kdtune.planning.usable_cores import usable_cores
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
from kdtune.storage.checksums import sealed
from kdtune.storage.files import alone_in, write_json
from kdtune.storage.paths import noted_data_dir

if TYPE_CHECKING:
    from kdtune.artifacts.workbench import Workbench

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class _Setting:
    """How it is measured."""

    batch_size: int
    seconds: float
    device: str
    device_name: str
    resources: Resources
    gpus: dict[str, float]
    sensors: NodeSensors
    hardware: Hardware


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
    """Measure what teacher and student take in use, and when the student has repaid what it was charged.

    Both classify the study's test images again and again in this process, by turns, under the energy meter. The
    students of a study's strategies are one network with other weights, so one of them is timed; each is tested. The
    figures are written into each strategy's ``inference.json``, the ledger beside that of the strategy whose student
    was timed. What measuring takes is charged to no strategy.

    Args:
        places: Folders of finished strategies or of studies; what is neither is skipped with a warning.
        batch_size: Images at a time.
        seconds: That each network runs at least, in whole passes.
        cpus: CPU threads; as many as the study's trainings had without it.
        device: ``cpu`` or ``cuda``. Without it that of the study, and only on such a machine as the study ran on.
        data_dir: Folder with the data sets; where they were when the study began without it.
        download: Fetch the data set where it is missing or damaged; without it no connection is made.
        carbon: How energy becomes CO2, or what makes that of how a strategy was run; as each was run without it.
        tell: Is told of each measurement before it begins.

    Returns:
        What ``inference.json`` of each strategy holds, those that were measured as one next to each other.

    Raises:
        ResultsError: No folder has results, or they are unfinished or damaged, or lack a network.
        UsageError: An argument is wrong, or the machine is another one than wanted.
        DataError: The data set is missing, incomplete or damaged.
    """
    from kdtune.analysis.inference_passes import threads_kept

    _check_arguments(batch_size, seconds, cpus, device)
    tell = contained(tell)
    groups: dict[tuple[Any, ...], list[Finished]] = {}
    for one in find_finished(places, carbon):
        groups.setdefault(one.networks, []).append(one)
    with threads_kept():
        sensors = NodeSensors()
        hardware = sensors.hardware()
        # Everything is looked at before anything is written.
        ready = []
        for group in groups.values():
            setting = _setting(group[0], batch_size, seconds, cpus, device, sensors, hardware)
            ready.append((group, setting, _bench(group[0], setting, data_dir, download=download)))
            read_folder(group[0].folder.inference_ledger)  # of earlier measurements, refused if it is damaged
        documents = []
        for group, setting, bench in ready:
            path = group[0].folder.path
            tell(f"measuring {path.parent.name}/{path.name} on {setting.device_name}, {2 * seconds:g} s or more")
            try:
                documents += _measure(group, setting, bench)
            except OSError as error:
                raise ResultsError(f"{error.filename or path}: cannot be written ({error.strerror})") from None
    return documents


def _check_arguments(batch_size: int, seconds: float, cpus: int | None, device: str | None) -> None:
    cores = usable_cores()
    faults = []
    if batch_size < 1:
        faults.append(f"--batch-size: has to be at least 1, got {batch_size}")
    if not 0 < seconds < float("inf"):
        faults.append(f"--seconds: has to be a finite number above 0, got {seconds:g}")
    if cpus is not None and not 1 <= cpus <= cores:
        faults.append(f"--cpus: has to lie in [1, {cores}], which this machine has, got {cpus}")
    if device is not None and device not in DEVICES:
        faults.append(f"--device: unknown device {device!r}; known: {', '.join(DEVICES)}")
    if faults:
        raise UsageError("\n".join(faults))


def _setting(
    one: Finished,
    batch_size: int,
    seconds: float,
    cpus: int | None,
    device: str | None,
    sensors: NodeSensors,
    hardware: Hardware,
) -> _Setting:
    """What measures a strategy.

    Raises:
        UsageError: Not what was wanted: there is no GPU, or without ``device`` another machine than the study's.
    """
    import torch

    wanted = device or ("cuda" if one.resolved.gpus_per_trial else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        asked = f"--device {device}" if device else f"{one.folder.path}: ran on a GPU"
        raise UsageError(f"{asked}: this torch can use none; see 'kdtune doctor', or give --device cpu")
    if wanted == "cuda":
        here, there = torch.cuda.get_device_name(0), {one.resolved.versions["device"]}
    else:
        here, there = hardware.cpu_model, {node.cpu_model for node in one.result.cost.hardware}
    if device is None and there and here not in there:
        raise UsageError(
            f"{one.folder.path}: ran on {', '.join(sorted(there))}, and this is {here}; to measure here all the same "
            f"give --device {wanted}"
        )
    return _Setting(
        batch_size=batch_size,
        seconds=seconds,
        device=wanted,
        device_name=here,
        resources=Resources(cpus or one.resolved.cpus_per_trial, 1.0 if wanted == "cuda" else 0.0),
        gpus=gpu_shares(1.0 if wanted == "cuda" else 0.0),
        sensors=sensors,
        hardware=hardware,
    )


def _bench(one: Finished, setting: _Setting, data_dir: str | Path | None, *, download: bool) -> "Workbench":
    """The study's data and networks, where they are measured.

    Raises:
        DataError: The data set is missing, incomplete or damaged.
        UsageError: It is another one than the study ran on.
    """
    from kdtune.artifacts.workbench import Workbench, pick_device

    study_folder = StudyFolder(one.folder.path.parent)
    place = noted_data_dir(data_dir, study_folder.asked_places().data_dir, study_folder.run_toml)
    available_images(one.study, place, download=download)
    bench = Workbench(one.study, pick_device(setting.resources.gpus), setting.resources.threads, str(place.path))
    if bench.arrays.fingerprint != one.resolved.data:
        raise UsageError(
            f"{one.folder.path}: was run on other files of {one.study.dataset} than {place} holds; name the folder "
            "with those by --data-dir DIR"
        )
    return bench


def _measure(group: list[Finished], setting: _Setting, bench: "Workbench") -> list[InferenceDocument]:
    """Measure the networks that some strategies have in common, test each student, and write what was found."""
    import torch

    from kdtune.analysis.inference_passes import accuracy, parameters, ready_student, ready_teacher, take_turns

    torch.set_num_threads(bench.threads)
    first, test = group[0], bench.splits.test
    refuse_links(first.folder.path.parent)
    how = (test, bench.arithmetic, setting.batch_size)
    # All are read, and warmed up, before anything is written.
    students = [ready_student(bench, one.student_file) for one in group]
    teacher = ready_teacher(bench, first.teacher_folder)
    accuracies = [accuracy(bench.task, student, *how) for student in students]
    of_teacher = accuracy(bench.task, teacher, *how)
    assert of_teacher is not None

    networks = {"teacher": teacher, "student": students[0]}
    ledger = first.folder.inference_ledger / f"{setting.hardware.node}.jsonl"
    with alone_in(ledger.parents[1], remedy="copy the results to a local disk"), _metering(setting, ledger) as meter:
        taken = take_turns(bench.task, networks, *how, setting.seconds, meter, setting.resources.cpus, setting.gpus)
    records = read_folder(ledger.parent)[ledger.stem]
    metered = {
        name: [MeteredTurn(turn.passes * len(test), turn.wall_s, account_of(records, turn.window)) for turn in turns]
        for name, turns in taken.items()
    }
    workload, documents = first.resolved.workload, []
    sizes = {role: parameters(network) for role, network in networks.items()}
    for one, of_student in zip(group, accuracies, strict=True):
        recorded = one.result.repeats[0].test_accuracy
        assert recorded is not None and of_student is not None, "the strategy has finished"
        described = {
            "teacher": Network(
                str(one.study.teacher),
                sizes["teacher"],
                workload.teacher_macs,
                of_teacher,
                one.teacher["test"]["accuracy"],
            ),
            "student": Network(str(one.study.student), sizes["student"], workload.student_macs, of_student, recorded),
        }
        documents.append(_document(one, first, setting, described, metered, len(test)))
        write_json(one.folder.inference, sealed(documents[-1].as_json()))
    return documents


@contextmanager
def _metering(setting: _Setting, ledger: Path) -> Iterator[Meter]:
    """A meter of this process that writes into a ledger, and knows of other studies on the machine."""
    neighbourhood = Neighbourhood(f"inference-{uuid.uuid4().hex[:12]}")
    neighbourhood.join()
    meter = Meter(setting.sensors, setting.hardware, neighbourhood)
    try:
        meter.begin(ledger)
        sampler = Sampler(meter)
        try:
            yield meter
        finally:
            sampler.stop()
            meter.switch(None)
    finally:
        neighbourhood.withdraw()


def _document(
    one: Finished,
    timed: Finished,
    setting: _Setting,
    networks: Mapping[str, Network],
    metered: Mapping[str, Sequence[MeteredTurn]],
    test_images: int,
) -> InferenceDocument:
    """What a strategy's ``inference.json`` is to hold."""
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
    )
