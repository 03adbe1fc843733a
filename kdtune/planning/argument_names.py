"""Replaces command-line flags in error messages by argument names when the library is called from Python."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, TypeVar

from kdtune.errors import KdtuneError, SpecError

P = ParamSpec("P")
R = TypeVar("R")

#: Flags with a value, and their arguments.
_VALUES = {
    "--address": "address",
    "--batch-size": "batch_size",
    "--country": "country",
    "--cpus": "cpus",
    "--cpus-per-trial": "cpus_per_trial",
    "--data-dir": "data_dir",
    "--device": "device",
    "--epochs": "epochs",
    "--gpus-per-trial": "gpus_per_trial",
    "--intensity": "intensity",
    "--max-co2": "max_co2_g",
    "--max-concurrent": "max_concurrent",
    "--max-kwh": "max_kwh",
    "--out": "out",
    "--preset": "preset",
    "--pue": "pue",
    "--region": "region",
    "--repeats": "repeats",
    "--seconds": "seconds",
    "--seed": "seed",
    "--set": "overrides",
    "--strategy": "strategy",
    "--teacher": "teacher",
}

#: Flags without a value, and their arguments.
_SWITCHES = {
    "--accept-teacher": "accept_teacher",
    "--allow-mismatch": "allow_mismatch",
    "--download": "download",
    "--fresh": "fresh",
}

#: A flag, optionally followed by an override or by the name of a value (``DIR``).
_FLAG = re.compile(r"(?<![\w-])(?P<flag>--[a-z][a-z0-9-]*)(?: (?P<override>[\w.-]+=[^\s,;]+)| (?P<value>[A-Z]{3,}\b))?")

#: A command with flags, and the functions for commands.
_COMMAND, _FUNCTIONS = (
    re.compile(r"'kdtune (study|resume) (--[^']+)'"),
    {"study": "run_study", "resume": "resume_study"},
)


def in_arguments(text: str) -> str:
    """Return a message with flags (``--out DIR``) replaced by arguments (``out=DIR``), also of commands in quotes."""
    text = _COMMAND.sub(lambda found: f"{_FUNCTIONS[found[1]]}({in_arguments(found[2])})", text)

    def named(found: re.Match[str]) -> str:
        flag, override, value = found["flag"], found["override"], found["value"]
        if flag in _SWITCHES:
            return f"{_SWITCHES[flag]}=True" + found[0][len(flag) :]
        if flag not in _VALUES:
            return found[0]
        if flag == "--set" and override:
            return f"overrides=[{override!r}]"
        return f"{_VALUES[flag]}={value}" if value else _VALUES[flag] + found[0][len(flag) :]

    return _FLAG.sub(named, text)


def naming_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a library function so that its errors name arguments instead of flags."""

    @wraps(function)
    def called(*args: P.args, **named: P.kwargs) -> R:
        try:
            return function(*args, **named)
        except KdtuneError as error:
            error.args = tuple(in_arguments(arg) if isinstance(arg, str) else arg for arg in error.args)
            if isinstance(error, SpecError):
                error.faults = tuple(
                    replace(fault, where=in_arguments(fault.where), problem=in_arguments(fault.problem))
                    for fault in error.faults
                )
            raise

    return called
