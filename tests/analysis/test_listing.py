"""Lists of components: built-in ones, and those of other packages, whose code is not run."""

import pytest

from kdtune.analysis.listing import LISTS

KINDS = ("models", "datasets", "losses", "strategies", "temperatures")


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """An installed package that registers components and fails when it is imported."""
    info = tmp_path / "my_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 1.0\n")
    groups = [f"[kdtune.{kind}]\ndocumented = my_parts:documented\nplain = my_parts:plain\n" for kind in KINDS]
    (info / "entry_points.txt").write_text("\n".join(groups))
    (tmp_path / "my_parts.py").write_text(
        'raise RuntimeError("a list imports nothing")\n\n'
        'def documented():\n    """Does something.\n\n    At length.\n    """\n\nplain = documented\n'
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_components_of_other_packages_are_listed_with_their_summaries_and_not_imported(kind, other_package, tmp_path):
    records = {one["name"]: one for one in LISTS[kind](tmp_path)}
    assert records["documented"]["summary"] == "from package my-parts: Does something."
    assert records["plain"]["summary"] == "from package my-parts"
    first = next(iter(records.values()))
    assert all(set(first) <= set(one) for one in records.values())


def test_what_is_not_known_of_a_component_of_another_package_is_null(other_package, tmp_path):
    [record] = [one for one in LISTS["datasets"](tmp_path) if one["name"] == "documented"]
    assert record["classes"] is None and record["download_mb"] is None


@pytest.mark.parametrize("source", ["def documented(:\n", "\0"])
def test_a_package_whose_source_is_damaged_is_still_listed(source, other_package, tmp_path):
    (tmp_path / "my_parts.py").write_text(source)
    assert "from package my-parts" in [one["summary"] for one in LISTS["models"](tmp_path)]


def test_temperatures_and_methods_are_listed_once_with_their_hidden_tuning(tmp_path):
    records = {one["name"]: one for one in LISTS["temperatures"](tmp_path)}
    assert [records[name]["kind"] for name in ("normkd", "ttm", "dtkd")] == [
        "temperature",
        "loss",
        "temperature and loss",
    ]
    assert "k = 2" in records["normkd"]["hidden_tuning"] and "the ramp" in records["dtkd"]["hidden_tuning"]
    assert {one["hidden_tuning"] is None for one in records.values()} == {False}
    assert not {"hkd", "cmc", "ce"} & records.keys()
