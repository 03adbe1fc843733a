"""What one GPU does: ``python -m benchmarks gpu nvml|step|share|study [--synthetic] [--smoke]``.

``--synthetic`` takes random images instead of CIFAR-100, and the bundled digits for a whole study. ``--smoke`` tries
the benchmark's own code in seconds, on a CPU too; its figures say nothing, and are kept under a name of their own.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import gpu_nvml, gpu_share, gpu_step, gpu_study
from benchmarks.record import keep

KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "nvml": gpu_nvml.run,
    "step": gpu_step.run,
    "share": gpu_share.run,
    "study": gpu_study.run,
}


def run(arguments: Sequence[str]) -> None:
    """Run one of them, as the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--synthetic", action="store_true", help="take data that need not be on the disk")
    parser.add_argument("--smoke", action="store_true", help="try the code with little work, on a CPU too")
    asked = parser.parse_args(arguments)
    if not (asked.smoke or torch.cuda.is_available()):
        parser.error("torch finds no CUDA GPU; --smoke tries the code without one")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    synthetic = asked.synthetic or asked.smoke
    results = KINDS[asked.kind](device, synthetic=synthetic, smoke=asked.smoke)
    facts = {"device": device.type, "synthetic": synthetic, "smoke": asked.smoke}
    keep(
        f"gpu_{asked.kind}" + ("_smoke" if asked.smoke else ""),
        " ".join(["python -m benchmarks gpu", *arguments]),
        {**facts, **results},
    )
