import pytest

from kdtune.energy.carbon import PAPER, Carbon
from kdtune.errors import ResultsError
from kdtune.paper.filled_tables import beside_the_paper
from kdtune.specs.named_recipes import RECIPES
from tests.results.several import CIFAR100_HKD, ran

PAPERS = {
    **CIFAR100_HKD,
    "search_space": "tau-2-20",
    "validation": 0.1,
    "training": RECIPES["paper-code"],
    "teacher_training": RECIPES["paper-code"],
}

#: Fields of every teacher's record.
NAMED = {"model": "resnet18", "key": "k", "val_accuracy": 0.7}


def row(comparison, table, block, method):
    return next(row for row in comparison.rows[table, block] if row.row.method == method)


def test_a_row_has_the_printed_figure_ours_and_their_ratio(tmp_path):
    ran(tmp_path, "stochastic", [0.60, 0.62], trial_s=[3, 5], images=(45_000, 5_000), **PAPERS)
    ours = row(beside_the_paper([tmp_path], PAPER), 4, "CIFAR-100", "HKD, Ours")
    figures = {figure.column: figure for figure in ours.figures}
    assert ours.n == 2
    assert figures["accuracy"].ours == pytest.approx(61.0)
    assert figures["accuracy"].ours_std == pytest.approx(2**0.5)
    assert figures["accuracy"].ratio == pytest.approx(61.0 / 69.40)
    # 8 s of training: 32 J of a core and 160 J of memory; half of it for each of two models, times 1.67.
    assert figures["kwh"].ours == pytest.approx(96 * 1.67 / 3.6e6)
    assert figures["kwh"].ours_std == pytest.approx(28 * 1.67 / 3.6e6 / 2**0.5)  # 3 s and 5 s of 14 W
    assert figures["co2_g"].ours == pytest.approx(96 * 1.67 / 3.6e6 * 294.2060978)
    assert figures["co2_g"].ours_std == pytest.approx(figures["kwh"].ours_std * 294.2060978)
    assert ours.as_json()["figures"]["accuracy"] == {
        "paper": pytest.approx(0.6940),
        "paper_std": pytest.approx(0.0037),
        "ours": pytest.approx(0.61),
        "ours_std": pytest.approx(0.02 / 2**0.5),
        "compared": pytest.approx(0.61),
        "ratio": pytest.approx(61.0 / 69.40),
    }


@pytest.mark.parametrize("pue", [1.0, 1.67])
def test_the_ratio_of_energy_uses_training_at_the_papers_pue(tmp_path, pue):
    energy = {"charged_uj": 9_000_000, "energy_uj": {"trials": 3_000_000, "evaluation": 600_000, "idle": 5_400_000}}
    for bucket in ("orchestration", "other", "node_total"):
        energy["energy_uj"][bucket] = 0
    record = {**NAMED, "test": {"accuracy": 0.75}, "gflops_millions": 1.0, "energy": energy}
    ran(tmp_path, "stochastic", [0.6] * 2, trial_s=[4, 4], start_s=100, record=record, **PAPERS)
    comparison = beside_the_paper([tmp_path], Carbon(pue, 400.0, "a test"))
    for method, charged_j, trained_j, paper in (("Ours", 1096, 56, 0.20), ("Teacher", 9, 3.6, 0.25)):
        _, kwh, co2 = row(comparison, 1, "CIFAR-100", method).figures
        assert kwh.ours == pytest.approx(charged_j * pue / 3.6e6)
        assert kwh.compared == pytest.approx(trained_j * 1.67 / 3.6e6)  # 14 W of a core and half the memory
        assert kwh.ratio == pytest.approx(kwh.compared / paper)
        assert co2.ours and co2.ratio is None


def test_what_was_not_run_or_not_measured_is_nothing(tmp_path):
    ran(tmp_path, "stochastic", [0.6], **PAPERS)
    comparison = beside_the_paper([tmp_path])
    assert [figure.ours for figure in row(comparison, 1, "CIFAR-100", "Ours").figures] == [60.0, None, None]
    missing = row(comparison, 1, "CIFAR-100", "KD")
    assert (missing.run, missing.n, [figure.ratio for figure in missing.figures]) == (None, 0, [None] * 3)
    assert "cifar100-hkd" in comparison.missing() and "cifar100-hkd-batch-32" not in comparison.missing()


def test_the_papers_own_run_differs_in_the_hold_out_and_the_recipe_only(tmp_path):
    ran(tmp_path, "grid", [0.6] * 5, images=(45_000, 5_000), **PAPERS)
    differs = row(beside_the_paper([tmp_path]), 1, "CIFAR-100", "KD").differs
    assert len(differs) == 2
    assert differs[0].startswith("trained as the released code does (SGD)")
    assert differs[1].startswith("hold-out: 5,000 of 50,000 training images")


def test_a_run_that_was_cut_short_is_marked(tmp_path):
    ran(tmp_path, "grid", [0.1, None], images=(4_500, 500), **{**CIFAR100_HKD, "alpha": 0.5})
    differs = row(beside_the_paper([tmp_path]), 4, "CIFAR-100", "HKD").differs
    assert differs[0] == "reduced run: 3 of 100 epochs, 5,000 of 50,000 images, 3 of 100 epochs of the teacher"
    assert "not finished (incomplete)" in differs
    assert "alpha 0.5 instead of 0.95" in differs
    assert "3 temperatures from 2 to 10 instead of 19 from 2 to 20" in differs
    assert any(text.startswith("trained differently") and "batch_size" not in text for text in differs)


def test_the_teachers_row_is_of_its_record(tmp_path):
    teacher = {**NAMED, "test": {"accuracy": 0.75}, "gflops_millions": 1.0, "energy": {"charged_uj": 3_600_000_000_000}}
    ran(tmp_path, "stochastic", [0.6], record=teacher, **PAPERS)
    filled = row(beside_the_paper([tmp_path], PAPER), 1, "CIFAR-100", "Teacher")
    assert [figure.ours for figure in filled.figures] == pytest.approx([75.0, 1.67, 1.67 * 294.2060978])
    assert filled.n == 1


def test_a_teacher_that_was_given_has_no_known_cost(tmp_path):
    teacher = {
        **NAMED,
        "given": "0" * 16,
        "test": {"accuracy": 0.7},
        "gflops_millions": None,
        "energy": {"charged_uj": 5},
    }
    ran(tmp_path, "stochastic", [0.6], record=teacher, teacher_weights="0" * 16, **PAPERS)
    filled = row(beside_the_paper([tmp_path]), 1, "CIFAR-100", "Teacher")
    assert [figure.ours for figure in filled.figures] == [70.0, None, None]
    assert any("given" in text for text in filled.differs)


def test_the_run_most_similar_to_the_papers_is_shown(tmp_path):
    ran(tmp_path / "short", "grid", [0.1], **CIFAR100_HKD)
    ran(tmp_path / "long", "grid", [0.6], images=(45_000, 5_000), **PAPERS)
    comparison = beside_the_paper([tmp_path / "short" / "cifar100-hkd", tmp_path / "long" / "cifar100-hkd"])
    assert row(comparison, 1, "CIFAR-100", "KD").figures[0].ours == pytest.approx(60.0)
    assert len(comparison.warnings) == 1 and "short" in comparison.warnings[0].partition(": in no row")[0]


@pytest.mark.parametrize("far", [3, 300])
def test_the_nearest_to_a_hundred_epochs_is_shown(tmp_path, far):
    teacher = {**NAMED, "test": {"accuracy": 0.5}, "gflops_millions": 1.0, "energy": None}
    for name, epochs, accuracy in (("far", far, 0.7), ("near", 90, 0.6)):
        training = {**CIFAR100_HKD["training"], "epochs": epochs}
        record = {**teacher, "test": {"accuracy": accuracy}}
        changes = {**CIFAR100_HKD, "training": training, "teacher_training": training}
        ran(tmp_path / name, "grid", [accuracy], record=record, **changes)
    comparison = beside_the_paper([tmp_path / "far" / "cifar100-hkd", tmp_path / "near" / "cifar100-hkd"])
    for method in ("KD", "Teacher"):
        assert row(comparison, 1, "CIFAR-100", method).figures[0].ours == pytest.approx(60.0)


def test_additional_epochs_are_shown_for_both_networks(tmp_path):
    longer = {**CIFAR100_HKD["training"], "epochs": 300}
    ran(tmp_path, "grid", [0.6], **{**CIFAR100_HKD, "training": longer, "teacher_training": longer})
    differs = row(beside_the_paper([tmp_path]), 1, "CIFAR-100", "KD").differs
    assert differs[:3] == (
        "reduced run: 150 of 50,000 images",
        "300 epochs instead of 100",
        "300 epochs of the teacher instead of 100",
    )


def test_other_options_precision_and_search_space_are_shown(tmp_path):
    changes = {
        **PAPERS,
        "strategies": {"stochastic": {"draw": "sample", "scale": "uniform"}, "none": {"longer": 4}},
        "search_space": {"tau": {"low": 2, "high": 20, "step": 1, "log": True}},
        "numerics": {"precision": "bfloat16"},
    }
    for strategy in ("stochastic", "none"):
        ran(tmp_path, strategy, [0.6] * 5, images=(45_000, 5_000), **changes)
    comparison = beside_the_paper([tmp_path])
    assert row(comparison, 1, "CIFAR-100", "Ours").differs[:3] == (
        "stochastic with draw sample instead of batch",
        "tau on a logarithmic scale, so small ones are drawn more often",
        "networks computed in bfloat16 instead of float32",
    )
    assert row(comparison, 1, "CIFAR-100", "Student").differs[0] == "none with longer 4.0 instead of 1.0"


def test_a_run_with_the_usual_options_goes_before_any_without(tmp_path):
    ran(tmp_path / "other", "stochastic", [0.7] * 3, strategies={"stochastic": {"draw": "epoch"}}, **PAPERS)
    ran(tmp_path / "usual", "stochastic", [0.6], **CIFAR100_HKD)
    comparison = beside_the_paper([tmp_path / "other" / "cifar100-hkd", tmp_path / "usual" / "cifar100-hkd"])
    assert row(comparison, 1, "CIFAR-100", "Ours").figures[0].ours == pytest.approx(60.0)


def test_rows_of_a_block_that_are_from_several_folders_say_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran(tmp_path / "a", "stochastic", [0.6], **PAPERS)
    ran(tmp_path / "b", "grid", [0.7], **{**PAPERS, "alpha": 0.5})
    comparison = beside_the_paper(["a/cifar100-hkd", "b/cifar100-hkd"])
    told = {method: row(comparison, 1, "CIFAR-100", method).differs[0] for method in ("KD", "Ours")}
    assert told["KD"] == "from b/cifar100-hkd; other rows of the study are from a/cifar100-hkd"
    assert told["Ours"].startswith("from a/cifar100-hkd; ")
    alone = row(beside_the_paper(["a/cifar100-hkd"]), 1, "CIFAR-100", "Ours").differs
    assert not any(text.startswith("from ") for text in alone)


@pytest.mark.parametrize(
    "farther",
    [{"alpha": 0.5}, {"search_space": {"tau": {"values": [2, 6]}}}, {"numerics": {"precision": "bfloat16"}}],
)
def test_the_run_with_fewer_departures_is_shown_despite_fewer_repeats(tmp_path, farther):
    ran(tmp_path / "far", "grid", [0.7] * 3, **{**PAPERS, **farther})
    ran(tmp_path / "near", "grid", [0.6], **PAPERS)
    comparison = beside_the_paper([tmp_path / "far" / "cifar100-hkd", tmp_path / "near" / "cifar100-hkd"])
    assert row(comparison, 1, "CIFAR-100", "KD").figures[0].ours == pytest.approx(60.0)


def test_results_without_a_row_are_reported_with_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran(tmp_path, "stochastic", [None], **PAPERS)
    ran(tmp_path, "fixed", [0.6], **PAPERS)
    batch_64 = {**PAPERS, "name": "cifar100-hkd-batch-64", "training": {**RECIPES["paper-code"], "batch_size": 64}}
    ran(tmp_path, "stochastic", [0.6], **batch_64)
    comparison = beside_the_paper(["cifar100-hkd", "cifar100-hkd-batch-64"])
    assert comparison.ran and not comparison.used
    assert comparison.warnings == [
        "cifar100-hkd/stochastic: in no row, since it has no model yet; to finish it: "
        "kdtune resume cifar100-hkd/stochastic",
        "cifar100-hkd: in no row, since the paper's tables have no row for fixed.",
        "cifar100-hkd-batch-64: in no row, since the paper's tables have no row for stochastic.",
    ]


def test_another_strategy_fills_no_row_under_any_label(tmp_path):
    mine = {"strategy": "best-of", "trials": 3}
    ran(tmp_path, "stochastic-3", [0.6], **{**PAPERS, "strategies": {"stochastic-3": mine}})
    comparison = beside_the_paper([tmp_path])
    assert all(row.run is None for block in comparison.rows.values() for row in block)
    assert not comparison.used


def test_a_study_that_only_has_the_papers_name_fills_no_row(tmp_path):
    ran(tmp_path, "grid", [0.6], **{**CIFAR100_HKD, "student": "shufflenet_v2"})
    comparison = beside_the_paper([tmp_path / "cifar100-hkd"])
    assert row(comparison, 1, "CIFAR-100", "KD").run is None
    assert "student 'shufflenet_v2' instead of 'mobilenet_v2'" in comparison.warnings[0]


def test_missing_results_are_an_error_only_if_a_place_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert beside_the_paper().used == []
    with pytest.raises(ResultsError, match="nowhere"):
        beside_the_paper(["nowhere"])


def test_networks_have_the_parameters_that_are_built_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # without any result
    comparison = beside_the_paper()
    found = {row.row.method: row.figures[0].ours for row in comparison.rows[3, "Networks"]}
    assert found["VGG16 SSD"] == 26.285486 and found["MobileNetV2 SSD lite"] == 3.399108
    assert {name: round(value, 1) for name, value in found.items()} == {
        "ResNet18": 11.2,
        "ShuffleNetV2": 1.4,
        "MobileNetV2": 2.4,
        "Wrn-40-2": 2.3,
        "Wrn-16-1": 0.2,
        "VGG16 SSD": 26.3,
        "MobileNetV2 SSD lite": 3.4,
    }
    assert comparison.rows[3, "Networks"][0].as_json()["network"] == "resnet18"
