import csv
import io

import pytest
from rich.console import Console

from kdtune.report.cost_rows import columns, cost_rows, teacher_row
from kdtune.report.csv_and_markdown import as_csv, as_markdown
from kdtune.report.tables import cost_table, how_computed
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import Computed
from kdtune.storage.records import parsed
from tests.report.inference_documents import NODE
from tests.results.typed import strategy_result


def result(strategy="grid", charged_kwh=0.4, training_kwh=0.38, **changes):
    """Return a result document of two repeats, as the outcome module creates it."""
    repeat = {"seed": 0, "chosen": {"tau": 4}, "val_accuracy": 0.9, "trials": 19, "charged_uj": 1, "test": None}
    return {
        "study": "s",
        "strategy": strategy,
        "status": "completed",
        "computed": {
            "precision": "bfloat16",
            "memory_layout": "channels_last",
            "compile": "off",
            "teacher_logits": "replay",
        },
        "repeats": [repeat, {**repeat, "seed": 1, "chosen": {"tau": 6}}],
        "summary": {
            "val_accuracy_mean": 0.9,
            "val_accuracy_std": 0.01,
            "test_accuracy_mean": None,
            "test_accuracy_std": None,
        },
        "failures": [],
        "cost": {
            "models": 2,
            "gflops_millions": 6.0,
            "charged_kwh": charged_kwh,
            "per_repeat_kwh": charged_kwh / 2,
            "training_kwh": training_kwh,
            "charged_co2_g": 100.0,
            "teacher_kwh": None,
            "with_teacher_kwh": None,
            "with_teacher_co2_g": None,
            "wall_s": 1.0,
            "gpu_hours": 0.0,
            "abandoned_uj": 0,
            "abandoned_parts_uj": {"own": 0, "session": {}, "teacher_logits": {}, "compilation": {}},
            "uncertainty_uj": {"charged": 576_000_000_000},
            "flags": {},
            "shared_uj": {"session": 3_600_000, "teacher_logits": 7_200_000, "compilation": 0},
            "shared_parts_uj": {
                "session": {"s1": 3_600_000},
                "teacher_logits": {"l1": 7_200_000},
                "compilation": {},
            },
            "attribution": "dedicated",
            "quality": "modelled",
            "carbon": {"pue": 1.0, "intensity_g_per_kwh": 475.0, "source": "world average", "preset": None},
            "hardware": [NODE],
        },
        **changes,
    }


def typed(*documents):
    return [strategy_result(document) for document in documents]


def shown(*results, teacher=None):
    console = Console(width=200, file=io.StringIO(), no_color=True)
    console.print(
        cost_table(typed(*results), teacher and parsed({"key": "k1", "epochs": 3, "val_loss": 1.0, **teacher}, Teacher))
    )
    return console.file.getvalue()


def first_row(*results):
    """Return the first row of the cost table with all columns, by name."""
    return dict(zip(columns(typed(*results)), cost_rows(typed(*results))[0], strict=True))


def test_cost_is_that_of_one_model_and_energy_a_multiple_of_stochastic():
    grid = first_row(result(), result("stochastic", charged_kwh=0.1, training_kwh=0.02))
    assert grid["trials"] == "19" and grid["tau"] == "4, 6"
    assert (grid["PFLOPs"], grid["energy (Wh)"], grid["CO2 (g)"]) == ("3", "200", "50")
    assert (grid["energy as run"], grid["training only"]) == ("4.00 x", "19.0 x")
    assert grid["test acc. %"] == "-"


def test_every_figure_of_a_row_is_that_of_one_model_where_a_repeat_came_to_none():
    lost = result(charged_kwh=0.4, training_kwh=0.38)
    lost["cost"]["models"] = 1
    grid = first_row(lost, result("stochastic", charged_kwh=0.1, training_kwh=0.02))
    assert [grid[name] for name in ("trials", "PFLOPs", "energy (Wh)", "CO2 (g)")] == ["38", "6", "400", "100"]
    assert (grid["energy as run"], grid["training only"]) == ("8.00 x", "38.0 x")
    text = shown(lost, result("stochastic"))
    assert "grid: 1 of 2 repeats have a model; their cost includes the other repeats." in text
    assert "mean of" not in text and "mean of 2 repeats" in shown(result())


def test_without_a_model_there_is_no_cost_and_the_spent_energy_is_shown():
    none = result(status="interrupted")
    none["cost"]["models"] = 0
    row = first_row(none, result("stochastic"))
    names = ("trials", "PFLOPs", "energy (Wh)", "CO2 (g)", "energy as run", "training only")
    assert {row[name] for name in names} == {"-"}
    assert "grid: no repeat has a model, so there is no cost: 400 Wh, 38 trials so far." in shown(none)


def test_without_the_baseline_there_are_no_multiples():
    row = first_row(result())
    assert (row["energy as run"], row["training only"]) == ("-", "-")


def test_the_notes_say_how_energy_was_obtained_and_what_failed():
    failure = {"trial_id": "x", "seed": 1, "point": {"tau": 3}, "error": "DivergedError: nan"}
    text = shown(result(failures=[failure]))
    assert "Energy: modelled" in text and "8 W" in text and "not a measurement" in text
    assert "475 g/kWh, world average" in text
    assert "tau 3, seed 1: DivergedError: nan" in text


def test_attribution_is_stated_where_idle_power_is_not_charged():
    shared = result()
    shared["cost"]["attribution"] = "shared"
    assert "Attribution of grid is shared: idle power is charged to no row." in shown(shared)
    assert "Attribution" not in shown(result())


def test_a_strategy_that_is_not_complete_is_marked():
    assert "grid (interrupted)" in shown(result(status="interrupted"))


def test_a_teacher_of_unknown_cost_has_a_dash_and_not_zero():
    teacher = {"model": "t", "val_accuracy": 0.9, "test": {"accuracy": 0.8}, "gflops_millions": 1.0, "energy": None}
    line = next(line for line in shown(result(), teacher=teacher).splitlines() if "teacher (t)" in line)
    assert line.split()[-3:] == ["80.0", "-", "-"]


def test_a_teacher_of_the_user_is_shown_without_its_folders():
    model = "/home/anna/experiments/nets.py:Wide"
    teacher = {"model": model, "val_accuracy": 0.9, "test": {}, "gflops_millions": 1.0, "energy": None}
    assert "teacher (nets.py:Wide) " in shown(result(), teacher=teacher)
    assert "anna" not in shown(result(), teacher=teacher)


def test_a_teacher_that_was_given_has_no_cost_and_the_notes_say_why():
    teacher = {
        "model": "t",
        "given": "0123456789abcdef",
        "val_accuracy": 0.9,
        "test": {"accuracy": 0.8},
        "gflops_millions": None,
        "energy": {"charged_uj": 7_200_000},
    }
    text = shown(result(), teacher=teacher)
    line = next(line for line in text.splitlines() if "teacher (t), given" in line)
    assert line.split()[3:] == ["80.0", "-", "-"]
    assert "The teacher was given (weights 0123456789abcdef), so the energy of its training is unknown" in text
    assert "Its evaluation took 7.2 J." in text and "trained once" not in text
    assert "Its evaluation" not in shown(result(), teacher={**teacher, "energy": None})  # it was not metered


def test_csv_keeps_full_precision_and_defuses_formulas():
    row = next(csv.DictReader(io.StringIO(as_csv(typed(result("=HYPERLINK()", charged_kwh=0.123456789))))))
    assert row["charged_kwh"] == "0.123456789"
    assert row["strategy"] == "'=HYPERLINK()"
    assert (row["repeats"], row["models"]) == ("2", "2")
    assert row["test_accuracy_mean"] == ""


def test_markdown_cannot_be_broken_out_of_by_a_name():
    table = as_markdown(typed(result("a|b<script>")), None, "stochastic")
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()} == {10 + 1}
    assert "<script>" not in table


def test_the_notes_show_numerics_and_the_energy_of_the_logits():
    text = shown(result())
    assert "Computed in bfloat16, channels last." in text
    assert "computed once for all trainings" in text
    assert "as training, as if it had run alone: 7.2 J." in text


def test_a_live_teacher_is_not_a_shared_cost():
    live = result()
    live["cost"]["shared_uj"]["teacher_logits"] = 0
    assert "computed once" not in shown(live)


def test_the_notes_show_the_energy_of_compiling():
    assert "compiled once" not in shown(result())
    first, second, alone = result(), result("stochastic"), result("none")
    for one, uj in ((first, 10_800_000), (second, 10_800_000), (alone, 3_600_000)):
        one["cost"]["shared_uj"]["compilation"] = uj
    assert "as if it had run alone: 10.8 J." in shown(first, second)
    # Strategies without a live teacher use less code.
    assert "as if it had run alone: 3.6 J to 10.8 J." in shown(first, alone)


def test_flags_of_the_teachers_energy_are_shown():
    energy = {"charged_uj": 3_600_000, "flags": {"gpu_unread": 2}}
    teacher = {"model": "t", "val_accuracy": 0.9, "test": {"accuracy": 0.8}, "gflops_millions": 1.0, "energy": energy}
    assert "Note on the teacher: a GPU's energy could not be read" in shown(result(), teacher=teacher)


def test_several_baselines_and_different_session_energies_are_noted():
    apart = {"session": 7_200_000, "teacher_logits": 0, "compilation": 0}
    first = result("a/stochastic")
    second = result("b/stochastic")
    second["cost"] = {**second["cost"], "shared_uj": apart}
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(cost_table(typed(first, second), None))
    words = captured.get()
    assert "No multiples of energy: name the baseline with --baseline, such as a/stochastic." in words
    assert "as if it had run alone: 3.6 J to 7.2 J in 2 repeats." in words


@pytest.mark.parametrize(
    ("compile", "how"),
    [
        ("off", "contiguous."),
        ("on", "contiguous, compiled."),
        ("graph", "contiguous, each training step captured as a graph."),
        ("compiled_graph", "contiguous, compiled, each training step captured as a graph."),
    ],
)
def test_the_notes_say_how_networks_were_computed(compile, how):
    assert how_computed(Computed("float32", "contiguous", compile)) == f"Computed in float32, {how}"


def by_objective(name, **changes):
    """A result of a study that another metric than the accuracy decided."""
    made = result(name, objective="balanced_accuracy", **changes)
    made["summary"] |= {"val_objective_mean": 0.62, "val_objective_std": 0.02, "test_objective_mean": 0.6}
    return made


def test_the_head_of_the_table_names_the_objective_and_its_values_are_shown():
    results = typed(by_objective("grid"), by_objective("stochastic"))
    grid = dict(zip(columns(results), cost_rows(results)[0], strict=True))
    assert grid["val. balanced acc. %"] == "62.0 +- 2.0" and grid["test balanced acc. %"] == "60.0"
    [row, _] = csv.DictReader(io.StringIO(as_csv(results)))
    assert (row["objective"], row["val_objective_mean"], row["val_accuracy_mean"]) == (
        "balanced_accuracy",
        "0.62",
        "0.9",
    )


def test_where_results_were_decided_by_different_metrics_the_table_shows_the_accuracy():
    results = typed(by_objective("grid"), result("stochastic"))
    assert [name for name in columns(results) if "acc" in name] == ["test acc. %", "val. acc. %"]
    assert [row[6] for row in cost_rows(results)] == ["90.0 +- 1.0", "90.0 +- 1.0"]
    assert "objective" in as_csv(results).splitlines()[0]


def footnotes(*results):
    console = Console(width=250, file=io.StringIO())
    console.print(cost_table([strategy_result(one) for one in results], None))
    return console.file.getvalue()


def trained_under(strategy, study="s", **chosen):
    whole = result(strategy)
    return {**whole, "study": study, "repeats": [{**one, "chosen": chosen} for one in whole["repeats"]]}


def test_the_hidden_tuning_of_each_method_is_a_footnote():
    text = footnotes(trained_under("mine", tau=2, temperature="normkd"), trained_under("dtkd", tau=4, loss="dtkd"))
    assert "Hidden tuning of normkd: k = 2" in text
    assert text.count("Hidden tuning is charged only where a strategy searches it.") == 1
    assert "Hidden tuning of dtkd" in text and "three weights and the ramp" in text
    assert footnotes(trained_under("grid", tau=2)).count("Hidden tuning") == 0


@pytest.mark.parametrize(("chosen", "cell"), [([{"tau": 4}, None], "4"), ([{"tau": 4}, {"tau": 6}], "4, 6")])
def test_repeats_that_are_not_finished_do_not_repeat_a_tau(chosen, cell):
    whole = result()
    repeats = [{**one, "chosen": point} for one, point in zip(whole["repeats"], chosen, strict=True)]
    [row] = cost_rows([strategy_result({**whole, "repeats": repeats})])
    assert cell in row


def test_methods_with_the_same_hidden_tuning_share_a_footnote():
    text = footnotes(trained_under("ttm", tau=10, loss="ttm"), trained_under("wttm", tau=5, loss="wttm"))
    assert text.count("gamma = 1/tau") == 1 and "Hidden tuning of ttm and wttm: gamma" in text


def test_the_hidden_tuning_of_the_studys_own_loss_is_a_footnote_of_every_search_under_it():
    whole = trained_under("grid", tau=2)
    assert "Hidden tuning of standardized" in footnotes({**whole, "loss": "standardized"})


def test_published_accuracies_stand_below_the_table_of_the_study_that_has_them():
    text = footnotes(trained_under("wttm", study="cifar100-dynamic"), trained_under("grid", study="cifar100-dynamic"))
    assert "240 epochs, on all training images, without a validation part): teacher 79.42, wttm 76.06." in text
    assert "Published" not in footnotes(trained_under("grid", study="cifar100-dynamic"))
    assert "Published" not in footnotes(trained_under("wttm"))


def test_the_table_has_the_four_columns_that_matter_and_all_of_them_on_request():
    results = typed(result(), result("stochastic", charged_kwh=0.1))
    four = ("strategy", "test acc. %", "energy (Wh)", "energy as run")
    assert columns(results, wide=False) == four == columns(results)[:4]
    assert cost_rows(results, wide=False) == [row[:4] for row in cost_rows(results)]
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(cost_table(results, None))
    assert "CO2 (g)" not in captured.get() and "energy (Wh)" in captured.get()


def test_the_row_of_a_teacher_that_used_most_decides_the_units():
    teacher = {"model": "t", "val_accuracy": 0.9, "test": {"accuracy": 0.8}, "gflops_millions": 5.0, "key": "k"}
    large = parsed({**teacher, "epochs": 3, "val_loss": 1.0, "energy": {"charged_uj": 36 * 10**12}}, Teacher)
    results = typed(result())
    assert columns(results, large)[2] == "energy (kWh)"
    assert (cost_rows(results, teacher=large)[0][2], teacher_row(large, results)[2]) == ("0.2", "10")
