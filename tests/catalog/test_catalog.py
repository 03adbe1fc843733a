import importlib
import subprocess
import sys
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy
import pytest

from kdtune.catalog import builtin
from kdtune.catalog import catalog as module
from kdtune.catalog.catalog import Catalog, cause_of
from kdtune.catalog.component_digest import is_component_digest
from kdtune.catalog.packages import version_of
from kdtune.catalog.python_objects import reference_to
from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import SourceChangedError, UsageError
from tests.installed import install, package_site

CATALOGS = [one for one in vars(builtin).values() if isinstance(one, Catalog)]
BUILT_IN = [pytest.param(table, name, id=f"{table.kind}-{name}") for table in CATALOGS for name in table]


class Round:
    """A scheme with one component."""

    def identify(self, name):
        if name != "round":
            raise ValueError(f"fruit has no {name!r}")
        return "fruit==1.0"

    def load(self, name):
        return name * 2

    def is_built_in(self, name):
        return name == "round"

    def facts(self, name):
        return {"pips": 0} if name == "round" else {}


ROUND = Round()


@pytest.fixture
def fruit(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text("def tiny(num_classes, in_channels):\n    return 'tiny'\n")
    (tmp_path / "broken.py").write_text("def tiny(:\n")
    (tmp_path / "failing.py").write_text("import json\n\nraise RuntimeError('no licence')\n")
    monkeypatch.setattr(
        module,
        "entry_points",
        lambda group: [EntryPoint("Their Fruit", "json:dumps", group), EntryPoint("apple", "json:loads", group)],
    )
    table = Catalog("fruit", "tests.fruit")
    table.add("apple", "json:dumps", "round", pips=5)
    table.add("banana", "json:loads", "bent")
    table.add_scheme("shape", "tests.catalog.test_catalog:ROUND")
    return table


def test_facts_summary_and_order_of_built_in_names_are_known_without_loading(fruit):
    assert list(fruit) == ["apple", "banana"]
    assert "apple" in fruit
    assert "pear" not in fruit
    assert fruit["apple"].summary == "round"
    assert fruit.facts_of("apple") == {"pips": 5}
    assert fruit.facts_of("somebody.elses:pear") == {}
    assert fruit.facts_of("shape:round") == {"pips": 0}
    assert fruit.facts_of("shape:square") == fruit.facts_of("shape:") == fruit.facts_of("pickle:absent.pkl") == {}


def test_a_component_that_a_scheme_makes_from_built_in_ones_is_built_in(fruit):
    names = ["apple", "shape:round", "shape:square", "shape:", "pickle:absent.pkl", "Their Fruit", "./nets.py:tiny"]
    assert [name for name in names if fruit.is_built_in(name)] == ["apple", "shape:round"]


def test_a_duplicate_is_refused_with_the_component_that_has_the_name(fruit):
    with pytest.raises(ValueError, match=r"fruit 'apple'.*json:dumps"):
        fruit.add("apple", "json:loads", "another")
    assert fruit["apple"].summary == "round"


def test_registering_does_not_import():
    table = Catalog("thing", "tests.things")
    table.add("absent", "kdtune.no_such_module:Thing", "not there")
    with pytest.raises(ModuleNotFoundError):
        table.load("absent")


@pytest.mark.parametrize(
    ("reference", "component_module", "has_digest"),
    [
        ("apple", "json", False),
        ("Their Fruit", "json", True),
        ("json.decoder:JSONDecoder", "json.decoder", True),
        ("./nets.py:tiny", "_kdtune_local", True),
    ],
)
def test_every_form_is_resolved_and_loaded(fruit, tmp_path, reference, component_module, has_digest):
    entry = fruit.resolve(reference, tmp_path)
    assert entry.kind == "fruit"
    assert entry.load().__module__.startswith(component_module)
    assert len(entry.digest.partition(" ")[0]) == (16 if has_digest else 0)


def test_the_reference_of_a_file_is_absolute_and_resolves_to_itself(fruit, tmp_path):
    entry = fruit.resolve("./nets.py:tiny", tmp_path)
    assert entry.reference == f"{tmp_path}/nets.py:tiny"
    assert fruit.resolve(entry.reference) == entry


def test_a_scheme_is_identified_by_its_library(fruit):
    entry = fruit.resolve("shape:round")
    assert (entry.reference, entry.digest, entry.load()) == ("shape:round", "fruit==1.0", "roundround")
    with pytest.raises(ValueError, match="fruit has no 'square'"):
        fruit.resolve("shape:square")


def test_an_edited_file_is_a_new_component_and_never_replaces_the_earlier_one(fruit, tmp_path):
    before = fruit.resolve("./nets.py:tiny", tmp_path)
    assert fruit.resolve("./nets.py:tiny", tmp_path) == before
    (tmp_path / "nets.py").write_text("def tiny(num_classes, in_channels):\n    return 'tinier'\n")
    after = fruit.resolve("./nets.py:tiny", tmp_path)
    assert after != before
    assert after.load()(1, 1) == "tinier"
    assert fruit.load(after.reference, after.digest)(1, 1) == "tinier"
    with pytest.raises(SourceChangedError, match=r"nets.py:tiny: has been edited since the study began; .*--fresh"):
        fruit.load(before.reference, before.digest)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("aple", "unknown fruit 'aple'; did you mean 'apple'"),
        ("xyz", "unknown fruit 'xyz'; known: apple, banana, Their Fruit"),
        ("theirfruit", "did you mean 'Their Fruit'"),
        ("./absent.py:tiny", r"absent\.py cannot be read \(No such file or directory\)"),
        ("./broken.py:tiny", r"broken\.py, line 1: "),
        ("nowhere.at.all:tiny", "there is no module 'nowhere.at.all'"),
        ("pickle:absent.pkl", r"absent.pkl: cannot be read \(No such file or directory\)"),
    ],
)
def test_a_reference_that_cannot_be_resolved_gives_one_message(fruit, tmp_path, reference, message):
    with pytest.raises(ValueError, match=message):
        fruit.resolve(reference, tmp_path)
    if not reference.startswith("./"):
        with pytest.raises(UsageError, match=message):
            fruit.load(reference)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("./failing.py:tiny", r"cannot be imported: RuntimeError: no licence \(.*failing.py, line 3\)"),
        ("./nets.py:huge", "cannot be imported: AttributeError: .*nets.py has no 'huge'; it defines tiny"),
    ],
)
def test_code_that_cannot_be_imported_is_reported_with_the_location_of_the_error(fruit, tmp_path, reference, message):
    entry = fruit.resolve(reference, tmp_path)
    with pytest.raises(UsageError, match=message):
        entry.load()


def test_resolving_imports_nothing(fruit, tmp_path):
    (tmp_path / "nets.py").write_text("raise RuntimeError('not yet')")
    before = set(sys.modules)
    fruit.resolve("./nets.py:tiny", tmp_path)
    fruit.resolve("editables.redirector:RedirectingFinder")  # of a small package that no test imports
    assert {name for name in set(sys.modules) - before if name.startswith(("_kdtune_local", "editables"))} == set()


def test_versions_are_named_by_distribution():
    assert version_of("sklearn").startswith("scikit-learn==")


def test_a_function_of_a_module_is_referred_to_by_its_name(fruit):
    assert reference_to(did_you_mean) == "kdtune.catalog.spelling:did_you_mean"
    assert fruit.load("kdtune.catalog.spelling:did_you_mean") is did_you_mean


def test_a_function_without_a_module_is_pickled_and_found_by_another_process(fruit, tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    factor = 3
    reference = reference_to(lambda value: factor * value)
    entry = fruit.resolve(reference)
    assert entry.load()(14) == 42
    code = f"from kdtune.catalog.builtin import MODELS\nprint(MODELS.load({entry.reference!r}, {entry.digest!r})(5))"
    root = Path(module.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "15"


def test_a_pickled_function_is_identified_by_the_local_modules_that_it_uses_as_well(fruit, tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pickled_nets.py").write_text("def build(width):\n    return 10 * width\n")
    nets = importlib.import_module("pickled_nets")
    references = [reference_to(lambda: nets.build(4)), reference_to(partial(nets.build, width=2))]
    before = [fruit.resolve(one).digest for one in references]
    assert [fruit.load(references[0])(), fruit.load(references[1])()] == [40, 20]
    (tmp_path / "pickled_nets.py").write_text("def build(width):\n    return 999 * width\n")
    assert all(fruit.resolve(one).digest != digest for one, digest in zip(references, before, strict=True))
    assert [fruit.load(references[0])(), fruit.load(references[1])()] == [3996, 1998]


def test_an_object_that_cannot_be_pickled_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    stream = (tmp_path / "file").open("w")
    with pytest.raises(ValueError, match="cannot be pickled .*; define it in a module of its own"), stream:
        reference_to(lambda: stream)


def test_the_closest_name_is_the_one_suggested():
    assert did_you_mean("stochastik", ["static", "stochastic", "grid"]) == "did you mean 'stochastic'?"


@pytest.mark.parametrize(("table", "name"), BUILT_IN)
def test_every_built_in_component_can_be_loaded_and_has_a_summary(table, name):
    assert callable(table.load(name))
    assert table[name].summary
    assert "\n" not in table[name].summary


def test_the_packages_that_local_modules_import_are_part_of_the_identity(fruit, tmp_path, monkeypatch):
    site = package_site(tmp_path, monkeypatch)
    (tmp_path / "nets.py").write_text("import json, torch\nimport kdtune\nimport parts\n\ndef tiny():\n    pass\n")
    (tmp_path / "parts.py").write_text("def late():\n    from fruit_lib.trees import apple\n    import not_there\n")
    assert " " not in fruit.resolve("./nets.py:tiny", tmp_path).digest  # not installed yet
    install(site, "1.0")
    before = fruit.resolve("./nets.py:tiny", tmp_path)
    assert before.digest.split()[1:] == ["fruitlib==1.0"]
    install(site, "2.0.1")
    after = fruit.resolve("./nets.py:tiny", tmp_path)
    assert after.digest == before.digest.replace("1.0", "2.0.1")
    with pytest.raises(SourceChangedError) as changed:
        fruit.load(before.reference, before.digest)
    assert str(changed.value) == (
        f"fruit {tmp_path}/nets.py:tiny: uses other versions of packages: fruitlib 1.0 when the study began, "
        "2.0.1 now; install the earlier version, or begin the study anew with 'kdtune study --fresh'"
    )


def test_a_pickled_function_depends_on_the_packages_that_it_uses(fruit, tmp_path, monkeypatch):
    import optuna

    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    entry = fruit.resolve(reference_to(lambda: optuna.__version__))
    assert f"optuna=={optuna.__version__}" in entry.digest.split()[1:]
    assert "cloudpickle" not in entry.digest
    assert is_component_digest(entry.digest)


def test_the_edited_module_of_an_entry_point_is_imported_again(fruit, tmp_path, monkeypatch):
    """As in a package that is installed in editable mode."""
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("pear", "edited_pears:Pears.sweet", "tests.fruit")
    monkeypatch.setattr(module, "entry_points", lambda group: [point])
    for taste in ("mild", "strong"):
        (tmp_path / "edited_pears.py").write_text(f"class Pears:\n    def sweet():\n        return {taste!r}\n")
        assert fruit.load("pear")() == taste


def test_the_place_of_an_exception_is_not_in_the_source_of_compiled_code():
    with pytest.raises(ValueError) as raised:
        numpy.random.default_rng().normal("much")
    assert "(" + __file__ in cause_of(raised.value) and ".pyx" not in cause_of(raised.value)
