"""Cached code: its folder, its completeness, and its use by another process."""

import json
import os
from dataclasses import replace
from itertools import repeat

import pytest
import torch

from kdtune.artifacts.compiled_code import CodeDependencies
from kdtune.artifacts.training_context import TrainingContext
from kdtune.energy.sensors.node import NodeSensors
from kdtune.errors import CompileError
from kdtune.forecast import numerics_probe, step_timing
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.numerics import Numerics
from kdtune.training.compiled_networks import compiler_errors_converted
from kdtune.training.compiler_paths import is_plain
from kdtune.training.distiller import Distiller
from tests.forked import Forked
from tests.recipes import recipe_of
from tests.studies import small_study

COMPILED = Numerics(precision="float32", memory_layout="contiguous", compile="on")

NETWORKS = CodeDependencies(
    student=Component(name="convnet_2_4_4"),
    teacher=None,
    image_shape=(1, 8, 8),
    classes=10,
    batch_size=32,
    numerics=COMPILED,
    threads=1,
    device="a CPU",
    torch_version="2.9",
)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):  # restored afterwards
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "0")  # so that it is put back
    monkeypatch.delenv("TORCHINDUCTOR_COMPILE_THREADS")
    return tmp_path


def context(**changes):
    study = small_study(numerics=COMPILED.model_dump(), teacher_logits="live", **changes)
    return TrainingContext(load_study(study), torch.device("cpu"), threads=1)


def test_a_network_from_a_file_gives_a_folder_of_its_own_directly_in_the_cache(cache):
    own = Component(name="/home/ada/nets.py:tiny", options={"width": 2}, digest="0123456789abcdef")
    folder = replace(NETWORKS, student=own).compilation.folder
    assert folder.parent == cache / "compilations" and folder.name.startswith("nets-tiny-")


@pytest.mark.parametrize(
    "change",
    [
        {"student": Component(name="convnet_4_8_16")},
        {"student": Component(name="convnet_2_4_4", options={"width": 2})},
        {"teacher": Component(name="convnet_32")},
        {"image_shape": (3, 8, 8)},
        {"classes": 9},
        {"batch_size": 64},
        {"numerics": COMPILED.model_copy(update={"precision": "bfloat16"})},
        {"threads": 2},
        {"device": "another CPU"},
        {"torch_version": "2.10"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_dependency_of_the_code_changes_its_folder(cache, change):
    kept = NETWORKS.compilation.folder
    assert kept == CodeDependencies(**vars(NETWORKS)).compilation.folder
    assert kept.parent == cache / "compilations" and kept.name.startswith("convnet_2_4_4-")
    assert CodeDependencies(**{**vars(NETWORKS), **change}).compilation.folder != kept


def test_on_a_gpu_it_does_not_depend_on_the_number_of_cpu_threads(cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Test GPU")

    def folder(device, threads):
        one = context()
        one.threads, _ = threads, one.splits
        one.device = torch.device(device)  # after the data are loaded, so that only the GPU's name is needed
        return one.compilation(asks_teacher=False).folder

    assert folder("cuda", 1) == folder("cuda", 2) != folder("cpu", 1) != folder("cpu", 2)


def test_trainings_share_code_unless_they_run_a_live_teacher(cache):
    one = context()
    alone, asking = (one.compilation(asks_teacher=asks).folder for asks in (False, True))
    assert asking.name.startswith("convnet_32-convnet_2_4_4-") and alone.name.startswith("convnet_2_4_4-")
    other = context(name="other", alpha=0.5, seed=7, teacher="convnet_2_4_4")
    assert other.compilation(asks_teacher=False).folder == alone
    assert other.compilation(asks_teacher=True).folder != asking


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"format": 1}', b'{"format": 2, "crc32": 1}', None])
def test_without_a_valid_record_or_code_it_is_incomplete(cache, damage):
    compilation = NETWORKS.compilation
    assert not compilation.is_made()
    compilation.code.mkdir(parents=True)
    compilation.mark_complete()
    assert compilation.is_made()
    if damage is None:
        compilation.code.rmdir()
    else:
        (compilation.folder / "made.json").write_bytes(damage)
    assert not compilation.is_made()


def test_a_worker_uses_complete_code_only(cache):
    one = context()
    one.find_code(recipe_of(one.study, {"tau": 2}))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cache / "elsewhere")
    assert "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ  # missing code is compiled in parallel
    for point, asks in (({"tau": 2}, True), ({"loss": "ce"}, False)):
        compilation = one.compilation(asks_teacher=asks)
        compilation.code.mkdir(parents=True)
        compilation.mark_complete()
        one.find_code(recipe_of(one.study, point))
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(compilation.code)
        assert os.environ["TRITON_CACHE_DIR"].startswith(str(compilation.code))
        assert os.environ["TORCHINDUCTOR_COMPILE_THREADS"] == "1"


@pytest.mark.parametrize("use", ["probe", "timing"])
def test_steps_that_are_timed_use_complete_code_and_leave_the_environment_unchanged(cache, monkeypatch, use):
    """Otherwise they would generate the same code once more, with every inspection."""
    one = context(training={**small_study()["training"], "batch_size": numerics_probe.CPU_BATCH})
    compilation = one.compilation(asks_teacher=True)
    compilation.code.mkdir(parents=True)
    compilation.mark_complete()
    folders = []
    monkeypatch.setattr(
        Distiller, "steps", lambda distiller: folders.append(os.environ["TORCHINDUCTOR_CACHE_DIR"]) or repeat(0)
    )
    monkeypatch.setattr(step_timing, "_steps", lambda distiller, size: (size for _ in distiller.steps()))
    if use == "probe":
        numerics_probe._step_of(one, COMPILED)
    else:
        step_timing.time_work(one, ["distilling"], Stopwatch(NodeSensors(()).hardware()), [], None)
    assert set(folders) == {str(compilation.code)}
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cache / "elsewhere")
    assert "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ


def test_without_a_whole_batch_there_is_nothing_to_compile(cache):
    assert context().compiles
    assert not context(data={"train_limit": 430}).compiles  # of which 400 are held out, and a batch is 100


def test_only_the_error_of_the_c_compiler_is_shown():
    from torch._inductor.exc import CppCompileError, InductorError

    output = "In file included from a.h:\n/cache/main.cpp:7:1: error: expected ';'\ncompilation terminated."
    with pytest.raises(CompileError) as raised, compiler_errors_converted():
        raise InductorError(CppCompileError(["g++", "/cache/main.cpp"], output), None)
    assert "C++ compile error: /cache/main.cpp:7:1: error: expected ';'; or leave it out" in str(raised.value)


def test_compiler_errors_take_one_line_and_other_errors_are_unchanged():
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    plainly = r"^the networks cannot be compiled here: .*C\+\+.*compile=off$"
    with pytest.raises(CompileError, match=plainly) as raised, compiler_errors_converted():
        raise InductorError(InvalidCxxCompiler(), None)
    assert "\n" not in str(raised.value)
    with (
        pytest.raises(CompileError, match=r"compiled here: shapes do not fit; or leave it out with --set"),
        compiler_errors_converted(),
    ):
        raise BackendCompilerFailed(print, ValueError("shapes do not fit\nand more"), None)
    with pytest.raises(torch.OutOfMemoryError, match="of memory"), compiler_errors_converted():
        raise BackendCompilerFailed(print, torch.OutOfMemoryError("out of memory"), None)
    with pytest.raises(RuntimeError, match=r"^no memory$"), compiler_errors_converted():
        raise RuntimeError("no memory")


#: Its only generated C++ code is the sum over a batch that is the gradient of the bias.
_TINY = """
import torch

def tiny(in_channels, num_classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * in_channels, num_classes))
"""

#: Forks two processes once it has imported the compiler: one generates code as the job does, the other warms up as a
#: worker does. Prints the compiler's folders, and for each process what the compiler found and what code is there then.
#: The compiler neither tries vector instructions nor precompiles its headers, which takes longer than the code itself.
_PROCESS = """
import json, os, sys, tempfile, torch
assert "torch._inductor.codecache" not in sys.modules
tempfile.tempdir = None
from kdtune.training.compiled_networks import Compiler
Compiler(torch.device("cpu"))
from torch._dynamo.utils import counters
from torch._inductor import codecache, compile_fx, config
from kdtune.artifacts.shared_code import compile_networks
from kdtune.artifacts.training_context import TrainingContext
from tests.recipes import recipe_of
from tests.worker_process import renew_thread_pool
from kdtune.specs import load_study

print(json.dumps([codecache._HEADER_DIR, tempfile.gettempdir()]), flush=True)
config.compile_threads = 1  # each of more is a process that imports torch
config.cpp_cache_precompile_headers = config.cpp.vec_isa_ok = False
context = TrainingContext(load_study(json.loads(sys.argv[1])), torch.device("cpu"), threads=1)
recipe, compilation = recipe_of(context.study, {"loss": "ce"}), context.compilation(asks_teacher=False)

def generate():
    compile_networks(context, compilation, recipe)
    compilation.mark_complete()

def find():
    context.find_code(recipe)
    context.distiller(recipe, 3).warm_up()

for use in (generate, find):
    pid = os.fork()
    if pid == 0:
        renew_thread_pool()
        use()
        print(json.dumps(counters["inductor"]), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    code = [(str(path), path.stat().st_mtime_ns) for path in compilation.code.rglob("*.so")]
    print(json.dumps(sorted(code)), flush=True)
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What a process prints that compiles a network, and the folder of its temporary files.

    The names of that folder and of the cache contain characters at which torch's compiler would split their paths.
    """
    place = tmp_path_factory.mktemp("compiled")
    # Its own network, since each layer of the built-in ones is C++ code that takes seconds to compile.
    (place / "nets.py").write_text(_TINY)
    temporary, cache = place / "it's my tmp", place / "my cäche"
    temporary.mkdir()
    student = f"{place / 'nets.py'}:tiny"
    study = small_study(student=student, numerics=COMPILED.model_dump(), teacher_logits="live")
    process = Forked(_PROCESS, [json.dumps(study)], TMPDIR=str(temporary), KDTUNE_CACHE_DIR=str(cache))
    out, err = process.communicate()
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()], temporary


@pytest.mark.study
def test_the_compilers_headers_have_a_path_without_spaces(compiled):
    [(headers, temporary), *_], folder = compiled
    assert is_plain(headers) and temporary == str(folder)


@pytest.mark.study
def test_code_that_was_generated_once_is_found_by_another_process(compiled):
    [_, generated, before, found, after], _ = compiled
    assert generated["fxgraph_cache_miss"] == 2  # forwards and backwards
    assert found["fxgraph_cache_hit"] == 2 and "fxgraph_cache_miss" not in found
    assert before and after == before
