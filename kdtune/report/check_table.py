"""The outcome of a check as a table and as JSON."""

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kdtune.planning.study_check import StudyCheck
from kdtune.report.number_formats import significant
from kdtune.storage.wording import counted


def check_table(found: StudyCheck) -> RenderableType:
    """Return a table of the data set, the networks and the steps, with the faults and remarks under it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    if found.data:
        sizes = "x".join(map(str, found.data.shape))
        table.add_row(
            "data set",
            f"{found.data.train_images:,} training and {found.data.test_images:,} test images of {sizes}, "
            + counted(found.data.classes, "class", "classes"),
        )
    for role, network in found.networks.items():
        uncounted = f" (not counted: {', '.join(network.uncounted)})" if network.uncounted else ""
        macs = f"{significant(network.macs / 1e6)} M MACs per image{uncounted}"
        table.add_row(role, f"{network.network}: {network.parameters:,} parameters, {macs}")
    for step in found.steps:
        tau = "" if step.tau is None else f"tau {step.tau:g}, "
        memory = "" if step.memory_bytes is None else f", {step.memory_bytes / 1e9:.2f} GB of GPU memory"
        table.add_row("step", f"{tau}{step.precision}: loss {significant(step.loss)}{memory}")
    faults = [Text(f"Fault: {fault}", style="red") for fault in found.faults]
    remarks = [Text(f"Note: {remark}", style="dim") for remark in found.remarks]
    return Group(table, *faults, *remarks, Text(_verdict(found)))


def _verdict(found: StudyCheck) -> str:
    count = len(found.faults)
    return f"{counted(count, 'fault')} found." if count else "No fault found; nothing was trained."


def as_json(found: StudyCheck) -> dict[str, Any]:
    """Return the outcome as a JSON document."""
    return {
        "schema_version": 1,
        "study": found.study.name if found.study else None,
        "data": found.data.model_dump(mode="json") if found.data else None,
        "networks": {role: asdict(network) for role, network in found.networks.items()},
        "steps": [asdict(step) for step in found.steps],
        "faults": [asdict(fault) for fault in found.faults],
        "remarks": found.remarks,
    }
