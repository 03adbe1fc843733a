"""Benchmarks on a GPU: ``python -m benchmarks gpu nvml|step|share|study [--synthetic] [--smoke]``.

``--synthetic`` uses random images instead of CIFAR-100, and the bundled digits for a whole study. ``--smoke`` tests the
benchmark's own code in seconds, on a CPU too; its figures mean nothing and are saved under another name.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import gpu_nvml, gpu_share, gpu_step, gpu_study
from benchmarks.record import save

KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "nvml": gpu_nvml.run,
    "step": gpu_step.run,
    "share": gpu_share.run,
    "study": gpu_study.run,
}


def run(arguments: Sequence[str]) -> None:
    """Run the GPU benchmark that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--synthetic", action="store_true", help="use data that need no download")
    parser.add_argument("--smoke", action="store_true", help="test the code with little work, on a CPU too")
    options = parser.parse_args(arguments)
    if not (options.smoke or torch.cuda.is_available()):
        parser.error("torch finds no CUDA GPU; --smoke tests the code without one")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    synthetic = options.synthetic or options.smoke
    results = KINDS[options.kind](device, synthetic=synthetic, smoke=options.smoke)
    facts = {"device": device.type, "synthetic": synthetic, "smoke": options.smoke}
    save(
        f"gpu_{options.kind}" + ("_smoke" if options.smoke else ""),
        " ".join(["python -m benchmarks gpu", *arguments]),
        {**facts, **results},
    )
