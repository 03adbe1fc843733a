"""A hand-written measurement of inference, as ``kdtune inference`` writes it into ``inference.json``."""

from typing import Any

from kdtune.analysis.payback import payback
from kdtune.storage.records import as_record

NODE = {
    "node": "vm",
    "cpu_model": "a CPU",
    "cores": 2,
    "cpu_quality": "modelled",
    "tdp_w": 8.0,
    "tdp_known": True,
    "ram_w": 20.0,
    "gpus": [],
}


def network(model: str, times: float) -> dict[str, Any]:
    """Return the entry of a network that takes 0.1 s, 0.1 J and 0.02 mg of CO2 a pass, times a number."""
    return {
        "model": model,
        "parameters": round(1000 * times),
        "macs": round(2_000_000 * times),
        "test_accuracy": 0.9,
        "recorded_test_accuracy": 0.9,
        "passes": 2,
        "images": 2000,
        "wall_s": 2.0,
        "ms_per_pass": 100.0 * times,
        "images_per_s": 10_000.0 / times,
        "images_per_s_std": 120.0,
        "energy_uj": {
            "trials": 0,
            "orchestration": 0,
            "evaluation": 600_000,
            "idle": 360_000,
            "other": 40_000,
            "node_total": 1_000_000,
        },
        "charged_uj": 960_000,
        "static_uj": 480_000,
        "uncertainty_uj": 384_000,
        "uj_per_image": 100.0 * times,
        "uj_per_image_std": None,
        "j_per_pass": 0.1 * times,
        "co2_g_per_million": 0.02 * times,
        "quality": "modelled",
        "flags": {},
    }


def inference_document() -> dict[str, Any]:
    """Return a measurement of two networks, the teacher four times as expensive as the student."""
    return {
        "schema_version": 2,
        "study": "s",
        "strategy": "grid",
        "timed_student": "grid",
        "test_images": 1000,
        "batch_size": 128,
        "seconds": 1.0,
        "device": "cpu",
        "device_name": "a CPU",
        "threads": 1,
        "computed": {"precision": "float32", "memory_layout": "contiguous", "compile": "off"},
        "attribution": "dedicated",
        "teacher": network("big", 4),
        "student": network("small", 1),
        "saved_uj_per_image": [290.0, 300.0, 310.0],
        "payback": {
            "one_model": as_record(payback(1_200_000_000, [290.0, 300.0, 310.0])),
            "with_teacher": as_record(payback(4_000_000_000, [290.0, 300.0, 310.0])),
        },
        "charged": {"quality": "modelled", "hardware": [NODE]},
        "hardware": [NODE],
        "carbon": {"pue": 1.0, "intensity_g_per_kwh": 475.0, "source": "world average", "preset": None},
    }
