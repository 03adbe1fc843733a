from kdtune.paper.claims import CLAIMS, judge_claims
from kdtune.report.claim_lines import claim_lines
from tests.results.several import CIFAR100_HKD, ran


def lines(*places):
    return [text.plain for text in claim_lines(judge_claims(places or None))]


def of(found, start):
    return next(line for line in found if line.lstrip().startswith(start))


def test_a_verdict_has_its_study_difference_interval_and_both_sides(tmp_path):
    ran(tmp_path, "grid", [0.70, 0.72, 0.74])
    ran(tmp_path, "stochastic", [0.60, 0.61, 0.62])
    line = of(lines(tmp_path / "small"), "contradicted")
    # -10, -11 and -12 points: deviation 1, so 11 +- 4.303 / sqrt 3.
    assert "stochastic - grid, test accuracy | -11.00 points (-13.48 to -8.52, n = 3)" in line
    assert "grid 72.0 %" in line and "stochastic 61.0 %" in line
    assert "small (digits, convnet_32 to convnet_2_4_4, hkd, 3 epochs, 150 images;" in line


def test_one_repeat_is_shown_by_its_n(tmp_path):
    ran(tmp_path, "grid", [0.70])
    ran(tmp_path, "stochastic", [0.60])
    assert "-10.00 points (n = 1)" in of(lines(tmp_path / "small"), "not settled")


def test_the_papers_own_are_named_apart_and_what_is_missing_can_be_typed(tmp_path):
    ran(tmp_path, "grid", [0.7, 0.6], **CIFAR100_HKD)
    ran(tmp_path, "stochastic", [0.6, 0.6], **CIFAR100_HKD)
    found = lines(tmp_path / "cifar100-hkd")
    assert "(the paper's own, cifar100" in of(found, "not settled") and "reduced run: 3 of" in of(found, "not settled")
    missing = of(found, "not run")
    assert "the paper's studies cifar10-hkd, tinyimagenet-hkd," in missing
    assert missing.endswith("Try: kdtune study cifar10-hkd -s grid -s stochastic")


def test_studies_of_the_papers_that_form_no_pair_are_noted_without_a_command(tmp_path):
    names = {128: "cifar100-hkd", **{batch: f"cifar100-hkd-batch-{batch}" for batch in (32, 64, 256)}}
    for batch, name in names.items():
        training = {**CIFAR100_HKD["training"], "batch_size": batch, "epochs": 2 + batch}
        ran(tmp_path, "stochastic", [0.7], **{**CIFAR100_HKD, "name": name, "training": training})
    found = lines(*(tmp_path / name for name in names.values()))
    start = next(index for index, line in enumerate(found) if "the batch size does not matter" in line)
    told = found[start + 3]
    assert told.startswith("   not run  cifar100-hkd and cifar100-hkd-batch-32 are no pair: they differ in")
    assert told.endswith("training.epochs (130 and 34)") and not found[start + 4]


def test_differences_of_a_papers_study_are_shown_once_below(tmp_path):
    given = {**CIFAR100_HKD, "teacher_weights": "0123456789abcdef", "teacher_logits": "replay"}
    for strategy in ("none", "grid", "stochastic"):
        points = [{"loss": "ce"}] if strategy == "none" else [{"tau": 4}]
        ran(tmp_path, strategy, [0.7, 0.6], points=points, **given)
        ran(tmp_path, strategy, [0.7, 0.6], points=points)
    found = lines(tmp_path / "cifar100-hkd", tmp_path / "small")
    (told,) = (line for line in found if "other differences" in line)
    assert told.startswith("cifar100-hkd (")
    for words in (
        "trained differently from the released code",
        "hold-out: 400 of 150",
        "weights were given",
        "computed once per repeat",
    ):
        assert told.count(words) == 1


def test_every_claim_shows_its_source_and_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = lines()
    assert sum(line.startswith("   Source: ") for line in found) == len(CLAIMS) == 12
    assert sum(line.startswith("   Rule: ") and "supported if the 95% interval" in line for line in found) == 11
    assert sum(line.startswith("   not run  ") for line in found) == 12
    assert any("Student's t" in line for line in found)


def test_several_comparisons_of_one_study_name_it_once(tmp_path):
    labels = {"dts": {}, "mine": {"strategy": "single", "temperature": "normkd", "tau": 3}}
    for strategy in (*labels, "fixed"):
        ran(tmp_path, strategy, [0.70, 0.71, 0.70], strategies=labels)
    found = lines(tmp_path / "small")
    start = next(index for index, line in enumerate(found) if line.startswith("11. "))
    heading, first, second = found[start + 3 : start + 6]
    assert heading.startswith("   small (digits, convnet_32 to convnet_2_4_4, hkd, 3 epochs, 150 images;")
    assert heading.endswith(" | test accuracy") or " | test accuracy | commit " in heading
    assert first.startswith("     supported     dts - fixed | +0.00 points")
    assert second.startswith("     supported     mine - fixed | ") and "mine with " in second
    assert not found[start + 6]
