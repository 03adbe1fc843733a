"""Results as dataclasses, from documents that contain only the keys that a test needs."""

from typing import Any

from kdtune.results.strategy_result import StrategyResult
from kdtune.storage.records import parsed

_REPEAT = {"seed": 0, "chosen": None, "val_accuracy": None, "val_loss": None, "trials": 0, "charged_uj": None}

_NODE = {"node": "vm"}

_COST: dict[str, Any] = {
    "models": 0,
    "trials": {"completed": 0, "pruned": 0, "failed": 0, "interrupted": 0},
    "gflops_millions": 0.0,
    "training_flops": 0,
    "energy_uj": dict.fromkeys(("trials", "evaluation", "orchestration", "idle", "other", "node_total")),
    "shared_uj": dict.fromkeys(("session", "teacher_logits", "compilation")),
    "shared_parts_uj": {"session": {}, "teacher_logits": {}, "compilation": {}},
    "abandoned_uj": 0,
    "abandoned_parts_uj": {"own": 0, "session": {}, "teacher_logits": {}, "compilation": {}},
    **dict.fromkeys(("sources_uj", "uncertainty_uj", "gap_uj", "charged_kwh", "per_repeat_kwh", "training_kwh")),
    **dict.fromkeys(("charged_co2_g", "teacher_kwh", "with_teacher_kwh", "with_teacher_co2_g", "car_km")),
    **dict.fromkeys(("wall_s", "gpu_hours", "quality")),
    "attribution": "dedicated",
    "flags": {},
    "carbon": {"pue": 1.0, "intensity_g_per_kwh": 475.0, "source": "a test"},
    "hardware": [],
}

_SUMMARY = dict.fromkeys(("test_accuracy_mean", "test_accuracy_std", "val_accuracy_mean", "val_accuracy_std"))

_COMPUTED = {"precision": "float32", "memory_layout": "contiguous", "compile": "off", "teacher_logits": "live"}


def strategy_result(document: dict[str, Any]) -> StrategyResult:
    """Return the dataclass of a ``result.json`` document; missing keys get usual values, or None for measurements."""
    cost = {**_COST, **document.get("cost", {})}
    cost["hardware"] = [{**_NODE, **node} for node in cost["hardware"]]
    cost["carbon"] = {**_COST["carbon"], **cost["carbon"]}
    whole = {
        "schema_version": 1,
        "study": "s",
        "status": "completed",
        "computed": _COMPUTED,
        "estimate": None,
        "failures": [],
        **document,
        "cost": cost,
        "summary": {**_SUMMARY, **document.get("summary", {})},
        "repeats": [{**_REPEAT, "test": None, **repeat} for repeat in document.get("repeats", [])],
    }
    return parsed(whole, StrategyResult)
