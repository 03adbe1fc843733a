"""A program is told of arguments, the command line of flags."""

import pickle

import pytest

import kdtune
from kdtune.api import run_study
from kdtune.planning.argument_names import in_arguments


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ("--cpus-per-trial 4: this machine has 2", "cpus_per_trial 4: this machine has 2"),
        ("--max-co2 1 is reached", "max_co2_g 1 is reached"),
        ("write to --out DIR, or use --fresh", "write to out=DIR, or use fresh=True"),
        ("such as --set training.epochs=4", "such as overrides=['training.epochs=4']"),
        ("--set: alpha: too large", "overrides: alpha: too large"),
        ("/data (--data-dir); --download fetches it", "/data (data_dir); download=True fetches it"),
        ("anew with 'kdtune study --fresh'", "anew with run_study(fresh=True)"),
        ("elsewhere with 'kdtune study --out DIR'", "elsewhere with run_study(out=DIR)"),
        ("Continue with 'kdtune resume DIR'", "Continue with 'kdtune resume DIR'"),
        ("ray get-auth-token --generate", "ray get-auth-token --generate"),
        ("my--out.toml", "my--out.toml"),
    ],
)
def test_flags_become_arguments_and_nothing_else_changes(flags, arguments):
    assert in_arguments(flags) == arguments


def test_the_public_function_names_arguments_in_its_errors_and_faults(tmp_path):
    with pytest.raises(kdtune.SpecError) as refused:
        kdtune.run_study("digits-hkd", "gird", out=tmp_path, overrides=["alpha=7"], max_co2_g=-1)
    assert [fault.where for fault in refused.value.faults] == ["overrides", "strategy", "max_co2_g"]
    assert "--" not in str(refused.value)
    with pytest.raises(kdtune.UsageError, match="^cpus_per_trial 4096: "):
        kdtune.run_study("digits-hkd", out=tmp_path, cpus_per_trial=4096)
    with pytest.raises(kdtune.UsageError, match="^--cpus-per-trial 4096: "):
        run_study("digits-hkd", out=tmp_path, cpus_per_trial=4096)


def test_a_public_function_is_always_the_same_object_and_can_be_pickled():
    assert pickle.loads(pickle.dumps(kdtune.run_study)) is kdtune.run_study
