"""Modules and functions of the package stay small enough to be read at once."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Greatest number of lines, docstrings and comments included.
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 300, 60

_PUBLIC = "the public functions take and document many keyword arguments"

#: Longer modules and functions, each with the reason why it is not split.
LONGER = {
    "kdtune/api.py": _PUBLIC,
    "kdtune/api.py:plan_study": _PUBLIC,
    "kdtune/api.py:resume_study": _PUBLIC,
    "kdtune/api.py:run_study": _PUBLIC,
    "kdtune/execution/ray/energy_ledger.py": "one public class with long documentation, and its two helpers",
}


def sizes(path: Path):
    """The number of lines of a module and of each of its functions, by name."""
    source, name = path.read_text(), str(path.relative_to(ROOT))
    yield name, len(source.splitlines()), MAX_MODULE_LINES
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}:{node.name}", node.end_lineno - node.lineno + 1, MAX_FUNCTION_LINES


def test_modules_and_functions_are_short_and_every_exception_exists():
    found = [size for path in sorted((ROOT / "kdtune").rglob("*.py")) for size in sizes(path)]
    assert {name: lines for name, lines, most in found if lines > most and name not in LONGER} == {}
    assert set(LONGER) <= {name for name, _, _ in found}
