"""The documentation agrees with the program: links, commands, names, formats and examples."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from contextlib import chdir

import pytest
import torch
import typer.main
import yaml
from PIL import Image

import benchmarks.__main__ as benchmark_list
import kdtune
from kdtune.analysis.data_frames import load_results
from kdtune.analysis.listing import LISTS
from kdtune.artifacts.caches import KINDS
from kdtune.catalog.builtin import (
    DATASETS,
    LOSSES,
    METHOD_STRATEGIES,
    MODELS,
    STRATEGIES,
    TASKS,
    TEMPERATURES,
    is_method,
)
from kdtune.catalog.python_objects import PICKLE
from kdtune.cli.app import app
from kdtune.data.image_folder import FolderOptions
from kdtune.errors import SpecError
from kdtune.report.csv_and_markdown import CSV_COLUMNS, DEPLOYED_COLUMNS, GREEN_COLUMNS, OBJECTIVE_COLUMNS
from kdtune.results.epoch_log import FIELDS, append_epochs
from kdtune.results.trial_log import TrialLog
from kdtune.specs import available, load_study
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import NoOptions
from kdtune.temperature.base import PolicyContext
from kdtune.testing.temperatures import TemperatureConformance, examples
from kdtune.training.resolution import resolved_trial
from tests.docs.markdown import PAGES, ROOT, anchors, blocks, commands, first_column, links, prose
from tests.results.finished import finished
from tests.studies import here, small_study

DOCS = ROOT / "docs"
README = ROOT / "README.md"
OWN = DOCS / "your-own-networks-and-data.md"
COMMANDS = typer.main.get_command(app).commands
STUDIES = sorted(available("studies"))
#: Losses that are methods of their own, and the strategies that are not methods.
METHODS = [name for name in LOSSES if is_method(name)]
PROPER_STRATEGIES = {*STRATEGIES} - {*METHOD_STRATEGIES}

CATALOGS = (MODELS, DATASETS, LOSSES, TEMPERATURES, STRATEGIES, TASKS)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def page(name):
    return DOCS / f"{name}.md"


def options_of(command):
    """Every spelling of a command's options."""
    names = {
        option for parameter in COMMANDS[command].params for option in [*parameter.opts, *parameter.secondary_opts]
    }
    return {name for name in names if name.startswith("-")} | {"--help"}


def section(text, heading):
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE).group(1)


def test_the_readme_fits_on_a_page():
    assert len(README.read_text().splitlines()) <= 150


def test_every_page_is_reached_from_the_readme_and_from_the_index():
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md"}
    assert pages <= {link.partition("#")[0] for link in links(DOCS / "index.md")}
    assert pages <= {link.partition("#")[0].removeprefix("docs/") for link in links(README)}


@every_page
def test_every_relative_link_and_anchor_exists(page):
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


# Commands


@every_page
def test_every_command_line_can_be_parsed(page):
    for name, *arguments in commands(page):
        if name != "--help" and "--help" not in arguments:
            COMMANDS[name].make_context(name, list(arguments))


@pytest.fixture(scope="module")
def folder_with_mine(tmp_path_factory):
    """A folder with the files that a reader writes, and the studies that ``kdtune new`` makes of them."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "studies").mkdir()
    [text] = [block for block in blocks(page("getting-started"), "toml") if "dataset" in block]
    (folder / "studies" / "mine.toml").write_text(text)
    for name, code in files_of(OWN).items():
        (folder / name).write_text(code)
    for label in ("apple", "dolphin"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (70, 90), (number, 0, 0)).save(folder / "photos" / label / f"{number}.jpg")
    for name, *arguments in commands(OWN):
        if name == "new":
            done = here(name, *arguments, cwd=folder)
            assert done.returncode == 0, done.stderr
    return folder


def files_of(path):
    """The files in a page, by the name that the comment in their first line gives."""
    code = [*blocks(path, "python"), *blocks(path, "toml")]
    named = {re.match(r"# ([a-z]+\.(?:py|toml))\n", block): block for block in code}
    return {match.group(1): block for match, block in named.items() if match}


@every_page
def test_every_study_command_names_a_study_its_strategies_and_valid_settings(page, folder_with_mine):
    for name, *arguments in commands(page):
        if name != "study" or "--help" in arguments:
            continue
        asked = COMMANDS[name].make_context(name, list(arguments)).params
        with chdir(folder_with_mine):
            study = load_study(asked["name"], overrides=asked["set_"], epochs=asked["epochs"], repeats=asked["repeats"])
        assert set(asked["strategy"]) <= {"all", *study.strategies, *STRATEGIES}, arguments


CHEAP = sorted(
    {
        tuple(arguments)
        for path in PAGES
        for arguments in commands(path)
        if arguments[0] == "list" or {"--help", "--dry-run"} & set(arguments)
    }
)


def test_cheap_commands_are_among_those_that_are_run():
    assert {"list", "study", "--help"} <= {arguments[0] for arguments in CHEAP}


@pytest.mark.parametrize("arguments", CHEAP, ids=" ".join)
def test_cheap_commands_run(arguments, tmp_path):
    done = here(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@every_page
def test_every_recipe_can_be_parsed(page):
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block)
    for block in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@every_page
def test_every_make_target_and_benchmark_exists(page):
    code = "\n".join([*blocks(page, ""), *re.findall(r"`([^`]+)`", prose(page))])
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (?:PYTHON=\S+ )?(\w+)", code, re.MULTILINE)) <= targets
    named = re.findall(r"^python -m benchmarks ([a-z_ ]+)", code, re.MULTILINE)
    known = {*benchmark_list.ALL, "torture", "gpu", *benchmark_list.gpu.KINDS}
    assert {name for names in named for name in names.split()} <= known


@every_page
def test_every_option_in_backticks_exists(page):
    others = {"--version", "--smoke", "--synthetic"}  # of kdtune itself, and of the benchmarks
    known = {option for name in COMMANDS for option in options_of(name)} | others
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", " ".join(re.findall(r"`[^`]+`", prose(page))))) <= known


@pytest.mark.parametrize("command", ["new", "check", "study", "compare", "replay", "inference"])
def test_the_table_of_a_command_has_all_of_its_options_and_no_other(command):
    described = first_column(page("command-line"), "option", f"kdtune {command}")
    described = {part.split()[0] for cell in described for part in cell.split(", ")}
    shared = {"--country", "--region", "--intensity", "--pue", "--preset", "--json", "--data-dir", "--download"}
    own = options_of(command) - {"--help", "-h"}
    assert described <= own
    assert own - described <= (shared | {"-q"} if command != "study" else {"-q"})


def test_the_section_on_resume_names_all_of_its_options():
    text = section(page("command-line").read_text(), "kdtune resume")
    described = set(re.findall(r"`(--[a-z0-9-]+)`", text))
    assert described == options_of("resume") - {"--help", "-h", "-q"}


def test_every_environment_variable_of_kdtune_is_described():
    code = "".join(path.read_text() for path in (ROOT / "kdtune").rglob("*.py"))
    described = {name for name in first_column(page("command-line"), "variable") if name.startswith("KDTUNE_")}
    assert described == set(re.findall(r"KDTUNE_[A-Z_]+", code))


def test_every_command_list_and_cache_is_described():
    text = prose(page("command-line"))
    assert {name.split()[1] for name in first_column(page("command-line"), "command")} == set(COMMANDS)
    named = set(re.findall(r"`([\w-]+)`", section(text, "kdtune list and kdtune clean")))
    assert named == {*LISTS, *KINDS}


# Names


@pytest.mark.parametrize(
    ("name", "title", "registry"),
    [
        ("strategies", "strategy", PROPER_STRATEGIES),
        ("strategies", "loss", {*LOSSES} - {*METHODS}),
        ("strategies", "method", METHODS),
        ("strategies", "policy", TEMPERATURES),
        ("strategies", "study", STUDIES),
        ("getting-started", "name", DATASETS),
        ("performance", "benchmark", [*benchmark_list.ALL, "torture", *(f"gpu {k}" for k in benchmark_list.gpu.KINDS)]),
    ],
)
def test_a_table_names_all_that_there_is_and_nothing_else(name, title, registry):
    described = first_column(page(name), title)
    assert len(described) == len(set(described)) and set(described) == set(registry)


def test_the_readme_lists_the_strategies():
    # The first table with this title holds results.
    assert set(first_column(README, "strategy", "A first study")) == PROPER_STRATEGIES


def test_every_study_in_backticks_is_shipped():
    prefixes = tuple({f"{name.partition('-')[0]}-" for name in STUDIES})
    for path in PAGES:
        for name in re.findall(r"`([a-z0-9-]+)`", prose(path)):
            assert not name.startswith(prefixes) or name in STUDIES, (path.name, name)


def test_every_control_is_a_label_of_the_studies_that_are_named():
    labels = first_column(page("strategies"), "label")
    for name in ("digits-controls", "fashion-controls", "cifar100-controls"):
        assert set(labels) | {"stochastic", "grid"} == set(load_study(name).strategies)


def test_every_option_of_a_strategy_is_described():
    fields = {field for name in PROPER_STRATEGIES for field in STRATEGIES.load(name).Options.model_fields}
    assert set(first_column(page("strategies"), "option", "Options")) == fields


def test_the_defaults_and_options_of_the_methods_are_those_of_the_program():
    text = section(page("strategies").read_text(), "Methods")
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")
    ]
    assert [row[0] for row in rows] == METHODS
    for name, _, tau, weight, label_weight, others in rows:
        made = LOSSES.load(name).Options()
        assert (None if tau == "-" else float(tau)) == LOSSES[name].facts.get("default_tau")
        assert weight == ("alpha" if made.weight is None else f"{made.weight:g}")
        assert label_weight == ("1 - alpha" if made.label_weight is None else f"{made.label_weight:g}")
        assert {"weight", "label_weight", *re.findall(r"\w+", others)} == set(type(made).model_fields)


def test_the_default_weights_of_the_losses_are_those_of_the_program():
    text = section(page("strategies").read_text(), "Losses")
    table = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) \|$", text, re.MULTILINE))
    assert {name: float(alpha) for name, alpha in table.items()} == {
        name: LOSSES[name].facts["default_alpha"] for name in LOSSES if name not in METHODS
    }


def test_the_folders_of_the_package_are_described():
    packages = {path.parent.name for path in (ROOT / "kdtune").glob("*/__init__.py")}
    assert set(first_column(page("architecture"), "folder")) == packages


@pytest.mark.parametrize(
    ("name", "new"),
    [("architecture", set()), ("contributing", {"kdtune/strategies/ends.py", "kdtune/temperature/linear.py"})],
)
def test_the_modules_that_a_page_names_exist(name, new):
    """All but those that a reader of the page writes."""
    paths = set(re.findall(r"`((?:kdtune|tests)/[a-z_/]+\.py)`", prose(page(name))))
    assert paths > new
    assert [path for path in sorted(paths - new) if not (ROOT / path).is_file()] == []


# Formats


def documented_keys(heading, name="results-format"):
    return set(first_column(page(name), "key", heading))


@pytest.fixture(scope="module")
def results_folder(tmp_path_factory):
    """``results`` with a strategy that ran to its end."""
    folder = tmp_path_factory.mktemp("reader") / "results"
    strategy = finished(folder)
    strategy.study.run_toml.touch()
    trial = next(iter(TrialLog.read(strategy.trials).trials.values()))
    append_epochs(strategy.epochs, trial, [{**dict.fromkeys(FIELDS), "epoch": 1}])
    return folder


def test_the_keys_of_a_result_are_described(results_folder):
    result = json.loads(next(results_folder.glob("*/*/result.json")).read_text())
    described = documented_keys("result.json")
    parts = {*(f"repeats[].{key}" for key in result["repeats"][0]), *result["cost"]}
    whole = {key for key in result if not any(part.startswith(f"{key}[") for part in parts)}
    assert described == (parts | whole | {"failures[]"}) - {"failures", "schema_version", "crc32"}


def test_the_columns_of_csv_and_of_data_frames_are_described(results_folder):
    text = section(page("results-format").read_text(), "CSV and data frames")
    csv = text.partition("The columns are")[2].partition("`kdtune.load_results")[0]
    assert re.findall(r"`(\w+)`", csv) == [*CSV_COLUMNS, *GREEN_COLUMNS, *OBJECTIVE_COLUMNS, *DEPLOYED_COLUMNS]
    frames = load_results(results_folder)
    for name in ("trials", "epochs", "energy"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert set(re.findall(r"`(\w+)`", row)) - {name} | {"study", "strategy"} == set(getattr(frames, name).columns)


def test_the_keys_of_components_and_of_a_described_data_set_are_in_a_frozen_study(own_results):
    table = tomllib.loads((own_results / "own" / "ends" / "study.toml").read_text())
    keys = set(first_column(page("results-format"), "key of `dataset_info`"))
    assert keys == set(table["dataset_info"])
    assert set(table["teacher"]) == {*first_column(page("results-format"), "key of a component"), "width"}


# Examples


@pytest.fixture(scope="module")
def own_results(folder_with_mine):
    """The results folder of the study of a reader's own networks and data."""
    checked = here("check", "own.toml", "--json", cwd=folder_with_mine)
    assert json.loads(checked.stdout)["faults"] == [], checked.stderr
    described = next(line for line in page("results-format").read_text().splitlines() if "kdtune check --json" in line)
    assert list(json.loads(checked.stdout)) == re.findall(r'"(\w+)":', described)
    done = here("study", "own.toml", "--inline", "--epochs", "1", "--quiet", "--no-report", cwd=folder_with_mine)
    assert done.returncode == 0, done.stderr
    return folder_with_mine / "results"


def test_the_study_of_own_networks_and_data_uses_all_files_of_the_page(own_results):
    used = {name for name in files_of(OWN) if name.endswith(".py")}
    assert {f"./{name}" for name in used} == set(re.findall(r"\./\w+\.py", files_of(OWN)["own.toml"]))
    results = {path.parent.name: json.loads(path.read_text()) for path in own_results.glob("own/*/result.json")}
    assert results["ends"]["repeats"][0]["trials"] == 2
    assert results["warm"]["repeats"][0]["chosen"]["sure"] == 6


def test_the_example_with_a_function_as_a_network_runs(tmp_path, capsys):
    [code] = [block for block in blocks(OWN, "python") if "run_study" in block]
    with chdir(tmp_path):
        exec(compile(code, OWN.name, "exec"), {})
    assert 0 < float(capsys.readouterr().out) < 1


def test_all_forms_options_and_groups_of_components_are_described():
    assert set(first_column(OWN, "folder option")) == set(FolderOptions.model_fields)
    assert set(first_column(OWN, "group")) == {catalog.group for catalog in CATALOGS}
    schemes = {name for catalog in CATALOGS for name in catalog._schemes} - {PICKLE}
    assert {text.partition(":")[0] for text in first_column(OWN, "reference")} > schemes


@every_page
def test_python_and_toml_blocks_can_be_read(page):
    for code in blocks(page, "python"):
        ast.parse(code)
    for text in blocks(page, "toml"):
        tomllib.loads(text)


@every_page
def test_every_public_name_in_backticks_exists(page):
    groups = {catalog.group.removeprefix("kdtune.") for catalog in CATALOGS}
    for name in re.findall(r"`kdtune\.([A-Za-z_]+)", page.read_text()):
        assert name in {*kdtune.__all__, *groups, "testing"}


def test_the_names_for_python_are_public():
    names = first_column(page("command-line"), "function or class")
    assert names and set(names) <= set(kdtune.__all__)


def test_the_notebook_example_runs_on_results(results_folder, capsys):
    [code] = [block for block in blocks(README, "python") if "load_results" in block]
    with chdir(results_folder.parent):
        exec(compile(code, "README.md", "exec"), {})
    assert "grid" in capsys.readouterr().out


def example_of(component):
    """The code in 'contributing' whose class has a name."""
    [code] = [block for block in blocks(page("contributing"), "python") if f"class {component}(" in block]
    return code


def test_the_example_of_a_new_strategy_keeps_to_the_protocol():
    names = {}
    exec(compile(example_of("Ends"), "contributing.md", "exec"), names)
    space = SearchSpace.model_validate({"tau": {"low": 2, "high": 20, "step": 1}})
    strategy = names["Ends"](space, NoOptions(), 0)
    assert strategy.ask() == [Suggestion(values={"tau": 2}), Suggestion(values={"tau": 20})] and strategy.ask() == []
    assert strategy.expected_trials() == 2


@pytest.fixture
def linear(monkeypatch, tmp_path):
    """The temperature that a reader of 'contributing' writes, registered."""
    (tmp_path / "reader_linear.py").write_text(example_of("Linear"))
    monkeypatch.syspath_prepend(tmp_path)
    for entries in ("_built_in", "_targets"):
        monkeypatch.setattr(TEMPERATURES, entries, dict(getattr(TEMPERATURES, entries)))
    TEMPERATURES.add("linear", "reader_linear:Linear", "an example")
    yield TEMPERATURES.load("linear")
    sys.modules.pop("reader_linear")


class TestTheExampleOfANewTemperature(TemperatureConformance):
    @pytest.fixture
    def temperature(self, linear):
        [example] = examples("linear")
        return example


def test_the_example_of_a_new_temperature_can_be_used_in_a_study(linear):
    [text] = [text for text in blocks(page("contributing"), "toml") if "linear" in text]
    study = load_study(small_study(strategies=tomllib.loads(text)["strategies"]))
    [label] = study.strategies
    given = {key: value for key, value in study.strategies[label].items() if key != "strategy"}
    [suggestion] = STRATEGIES.load("single").from_table(study.search_space, given, 0).ask()
    policy = linear(
        linear.Options.model_validate(resolved_trial(study, suggestion, 0).recipe.temperature.options),
        PolicyContext(0, torch.device("cpu"), epochs=3, batch_size=4),
    )
    taus = []
    for epoch in range(3):
        policy.begin_epoch(epoch, 2)
        taus.append(policy.epoch_tau())
    assert taus == pytest.approx([8, 4.5, 1])
    assert policy.scheduled([4, 4]).student.tolist() == pytest.approx([1, 1])


def test_the_study_that_a_reader_writes_is_refused_where_it_has_a_fault(folder_with_mine):
    """The example is loaded for real: a fault in it is found."""
    with chdir(folder_with_mine):
        assert load_study("mine").student.name == "convnet_4_8_16"
        with pytest.raises(SpecError, match=r"training\.epochs"):
            load_study("mine", overrides=["training.epochs=0"])
