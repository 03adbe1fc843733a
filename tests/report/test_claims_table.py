import io

from rich.console import Console

from kdtune.paper.claims import judge_claims
from kdtune.report.claims_table import claims_table
from tests.results.several import ran


def test_each_comparison_is_a_row_and_a_claim_without_one_has_a_command(tmp_path):
    ran(tmp_path, "grid", [0.70, 0.72, 0.74])
    ran(tmp_path, "stochastic", [0.60, 0.61, 0.62])
    console = Console(width=200, file=io.StringIO(), no_color=True)
    console.print(claims_table(judge_claims(tmp_path / "small")))
    rows = console.file.getvalue().splitlines()
    [first, second] = [next(row for row in rows if row.startswith(f" {number}. ")) for number in (1, 2)]
    assert "contradicted   small" in first and "-11.00 points (-13.48 to -8.52, n = 3)" in first
    assert "not run" in second and "kdtune study cifar10-dml -s grid -s stochastic" in second
    assert sum("energy of grid / stochastic" in row for row in rows) == 2 and "--why" in rows[-1]
