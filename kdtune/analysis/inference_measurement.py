"""Measurement of the energy and time of inference with a study's student and teacher, compared with the charges.

Corresponds to PLOS ONE 2023, e0285668, Figure 1 b and c: time and CO2 of one pass over the test images.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kdtune.analysis.find_results import Places
from kdtune.analysis.finished_strategies import FinishedStrategy, find_finished
from kdtune.analysis.inference_setting import InferenceSetting, check_arguments, setting_of
from kdtune.analysis.measured_networks import MeasuredMetrics, networks_of
from kdtune.analysis.payback import paybacks
from kdtune.analysis.result_context import context_of
from kdtune.energy.attribution import SHARED_NODE
from kdtune.energy.carbon import Carbon
from kdtune.energy.ledger import read_folder
from kdtune.energy.meter import Meter
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.sampler import Sampler
from kdtune.energy.sensors.node import NodeSensors
from kdtune.energy.window_account import account_of
from kdtune.planning.process_state import restored_process_state
from kdtune.results.cost_document import Node
from kdtune.results.inference_document import (
    SCHEMA_VERSION,
    ChargedOn,
    InferenceDocument,
    Network,
)
from kdtune.results.metered_turns import MeteredTurn, network_in_use, saved_uj_per_image
from kdtune.results.strategy_result import Computed
from kdtune.results.watcher import contained
from kdtune.results.write_access import refuse_links
from kdtune.storage.checksums import with_checksum
from kdtune.storage.files import cannot_be_written, exclusive_lock, write_json

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
        carbon: Settings for CO2, or a function that changes those with which a strategy ran, which are the default.
        tell: Receives a message before each measurement.

    Returns:
        The content of each strategy's ``inference.json``. Strategies that were measured together are adjacent.

    Raises:
        ResultsError: No folder has results, or they are unfinished or damaged, or a network is missing.
        UsageError: An argument is invalid, or the study ran on another machine or other data.
        DataError: The data set is missing, incomplete or damaged.
        MachineError: The results cannot be written.
    """
    check_arguments(batch_size, seconds, cpus, device)
    tell = contained(tell)
    with restored_process_state(uses_torch=True):
        sensors = NodeSensors()
        hardware = sensors.hardware()
        # Everything is checked before anything is written.
        ready = []
        for group in _by_networks(find_finished(places, carbon)):
            setting = setting_of(group[0], batch_size, seconds, cpus, device, sensors, hardware)
            one = (group[0].folder, group[0].study, group[0].resolved)
            ready.append((group, setting, context_of(*one, setting.resources, data_dir, download=download)))
            read_folder(group[0].folder.inference_ledger)  # raises an error if an earlier ledger is damaged
        documents = []
        for group, setting, context in ready:
            path = group[0].folder.path
            tell(f"measuring {path.parent.name}/{path.name} on {setting.device_name}, {2 * seconds:g} s or more")
            try:
                documents += _measure(group, setting, context)
            except OSError as error:
                raise cannot_be_written(error, path) from None
    return documents


def _by_networks(finished: Iterable[FinishedStrategy]) -> list[list[FinishedStrategy]]:
    """Group strategies that are measured together because they share their networks."""
    groups: dict[tuple[Any, ...], list[FinishedStrategy]] = {}
    for one in finished:
        groups.setdefault(one.networks, []).append(one)
    return list(groups.values())


def _measure(
    group: list[FinishedStrategy], setting: InferenceSetting, context: "TrainingContext"
) -> list[InferenceDocument]:
    """Time the networks that a group of strategies shares, test each student, and write the results."""
    import torch

    from kdtune.analysis.inference_passes import metrics_of, parameters, ready_student, ready_teacher, take_turns
    from kdtune.analysis.int8_inference import PLAIN_CPU, can_compile, compiled, ready_int8

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
    sizes = {role: parameters(network) for role, network in networks.items()}
    int8 = {one.result.strategy: ready_int8(file) for one in group if (file := one.int8_file)}
    of_int8 = {label: metrics_of(context.task, network, test, PLAIN_CPU, 512) for label, network in int8.items()}
    is_compiled = bool(int8) and can_compile(context.arithmetic)
    if is_compiled:
        networks["int8"] = next(iter(int8.values()))
    ledger = first.folder.inference_ledger / f"{setting.hardware.node}.jsonl"
    lock = exclusive_lock(ledger.parents[1], remedy="copy the results to a local disk")
    with ExitStack() as stack:
        if is_compiled:
            networks = stack.enter_context(compiled(networks))
            for network in networks.values():
                metrics_of(context.task, network, *how)  # the compiler runs before the meter
        stack.enter_context(lock)
        meter = stack.enter_context(_metering(setting, ledger))
        taken = take_turns(context.task, networks, *how, setting.seconds, meter, setting.resources.cpus, setting.gpus)
    records = read_folder(ledger.parent)[ledger.stem]
    metered = {
        name: [MeteredTurn(turn.passes * len(test), turn.wall_s, account_of(records, turn.window)) for turn in turns]
        for name, turns in taken.items()
    }
    documents = []
    compile_mode: Literal["on", "off"] = "on" if is_compiled else "off"
    for one, of_student in zip(group, of_students, strict=True):
        of_quantised = of_int8.get(one.result.strategy) if is_compiled else None
        described = networks_of(one, sizes, MeasuredMetrics(of_teacher, of_student, of_quantised))
        documents.append(_document(one, first, setting, described, metered, len(test), compile_mode))
        write_json(one.folder.inference, with_checksum(documents[-1].as_json()))
    return documents


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
    compile_mode: Literal["on", "off"],
) -> InferenceDocument:
    """Return the content of a strategy's ``inference.json``."""
    cost, dedicated = one.result.cost, one.study.is_dedicated
    in_use = {
        role: network_in_use(network, metered[role], test_images, dedicated=dedicated, carbon=cost.carbon)
        for role, network in networks.items()
    }
    used = "int8" if "int8" in networks else "student"
    saved_uj = saved_uj_per_image(metered["teacher"], metered[used], dedicated=dedicated)
    shared = any(SHARED_NODE in network.flags for network in in_use.values())
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
        # Whether trainings were compiled does not matter; all networks are, if one computes with integers.
        computed=Computed(**{**one.study.numerics.resolved().model_dump(), "compile": compile_mode}),
        attribution=one.study.attribution,
        teacher=in_use["teacher"],
        student=in_use["student"],
        saved_uj_per_image=tuple(saved_uj),
        payback=paybacks(saved_uj, cost, shared=shared),
        charged=ChargedOn(cost.quality, cost.hardware),
        hardware=(Node.of(setting.hardware),),
        carbon=cost.carbon,
        objective=one.result.objective,
        objective_info=one.result.objective_info,
        int8=in_use.get("int8"),
    )
