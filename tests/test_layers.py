"""The package keeps its layers: no module imports from a higher layer, not even inside a function."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kdtune"

#: Folders and top-level modules of the package, lowest layer first. Members of one layer may import each other.
LAYERS = (
    ("errors",),
    ("storage",),
    ("catalog",),
    ("energy",),
    ("specs",),
    ("data", "models"),
    ("temperature",),
    ("methods", "strategies"),
    ("tasks", "training"),
    ("synthesis",),
    ("quantisation",),
    ("artifacts",),
    ("results",),
    ("forecast",),
    ("planning",),
    ("execution",),
    ("analysis",),
    ("paper",),
    ("report",),
    ("api",),
    ("testing",),
    ("cli",),
    ("__init__", "__main__"),
)
HEIGHT = {member: height for height, layer in enumerate(LAYERS) for member in layer}

#: What every module may import from the package itself: its version, and the package as a folder.
FREE = {"kdtune", "kdtune.__version__"}


def member_of(module: str) -> str:
    """The folder or top-level module that a dotted name lies in; ``__init__`` for a name of the package itself."""
    name = module.split(".")[1] if "." in module else "__init__"
    return name if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file() else "__init__"


def imported_modules(source: str, package: str):
    """Dotted names of everything in kdtune that a source imports, relative imports resolved against ``package``."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "kdtune" else [base]
        yield from (name for name in names if re.match(r"kdtune(\.|$)", name))


def upward_imports(source: str, member: str, package: str) -> list[str]:
    """The imports of a source that lead from its layer to a higher one."""
    imports = {name for name in imported_modules(source, package) if name not in FREE}
    return sorted(name for name in imports if HEIGHT[member_of(name)] > HEIGHT[member])


def modules():
    """Every module of the package: its path inside it, its folder or top-level name, and its dotted package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        yield path, inside.parts[0].removesuffix(".py"), ".".join(("kdtune", *inside.parts[:-1]))


def test_every_folder_has_a_layer():
    assert {member for _, member, _ in modules()} == set(HEIGHT)


def test_no_module_imports_from_a_higher_layer():
    found = {
        str(path.relative_to(ROOT)): upward
        for path, member, package in modules()
        if (upward := upward_imports(path.read_text(), member, package))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "from kdtune.report.tables import table",
        "import kdtune.report.tables",
        "from kdtune import report",
        "from kdtune import run_study",
        "from ..report import tables",
        "def late():\n    from kdtune.api import run_study",
        "if TYPE_CHECKING:\n    from kdtune.cli.app import app",
    ],
)
def test_an_import_from_a_higher_layer_is_found_wherever_it_stands(line):
    assert upward_imports(line, "energy", "kdtune.energy")


@pytest.mark.parametrize(
    "line",
    ["from kdtune.errors import Fault", "from kdtune import __version__", "import kdtune", "from . import meter"],
)
def test_lower_layers_the_own_folder_and_the_version_may_be_imported(line):
    assert upward_imports(line, "energy", "kdtune.energy") == []


def test_the_architecture_page_lists_the_folders_in_the_order_of_the_layers():
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("## Folders")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(member for member in HEIGHT if (PACKAGE / member).is_dir())
    assert [HEIGHT[member] for member in listed] == sorted(HEIGHT[member] for member in listed)


def test_no_two_classes_have_one_name():
    """``Options`` excepted: every component calls the model of its options so."""
    places = defaultdict(list)
    for path, _, _ in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name != "Options":
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
