"""A Hugging Face model card of a study's model, with the CO2 that its ledger charges."""

import json
from pathlib import Path
from typing import Any

from kdtune.analysis.difference_verdicts import sample_std
from kdtune.catalog.builtin import TASKS
from kdtune.errors import ResultsError
from kdtune.report.csv_and_markdown import as_markdown, markdown_list
from kdtune.report.number_formats import describe_choice, with_unit
from kdtune.report.recommendation_text import recommendation_text
from kdtune.report.reported_study import ReportedStrategy, ReportedStudy
from kdtune.report.tables import how_emitted, notes
from kdtune.report.units import co2, energy
from kdtune.storage.escaping import for_markdown
from kdtune.storage.wording import counted


def write_model_card(study: ReportedStudy, target: Path) -> list[Path]:
    """Write ``README.md``, the card of the strategy that the results recommend, or of the only one."""
    file = target / "README.md"
    file.write_text(model_card(study), encoding="utf-8")
    return [file]


def model_card(study: ReportedStudy) -> str:
    """Return the card.

    Raises:
        ResultsError: No strategy has a tested model.
    """
    one = _strategy(study)
    return f"---\n{_yaml(_metadata(study, one))}---\n\n{_body(study, one)}\n"


def _strategy(study: ReportedStudy) -> ReportedStrategy:
    """Return the recommended strategy, or the best one on the validation images if nothing is recommended."""
    tested = {one.name: one for one in study.strategies if one.figures.test}
    if not tested:
        raise ResultsError(f"{study.folder.path}: no strategy has a tested model, so there is no model to describe")

    def score(one: ReportedStrategy) -> float:
        mean = one.result.mean_and_std(study.metric, "val")[0]
        return float("-inf") if mean is None else study.metric.score(mean)

    return tested.get(study.recommendation.use or "") or max(tested.values(), key=score)


def _metadata(study: ReportedStudy, one: ReportedStrategy) -> dict[str, Any]:
    cost, ran = one.result.cost, study.study
    task = TASKS.facts_of(str(ran.task)).get("hub_task")
    emitted = cost.of_one_model(cost.charged_co2_g)
    mean = one.result.mean_and_std(study.metric, "test")[0]
    emissions = {
        "emissions": emitted,
        "source": f"kdtune: the energy ledger of the study ({cost.quality}), with the whole search of {one.name} and "
        f"without the teacher's training. {how_emitted(cost.carbon)}",
        "training_type": "knowledge distillation",
        "geographical_location": cost.carbon.source,
        "hardware_used": "; ".join(dict.fromkeys(map(str, cost.hardware))) or "unknown",
    }
    result = {
        "task": {"type": task or "other"},
        "dataset": {"type": str(ran.dataset), "name": str(ran.dataset)},
        "metrics": [{"type": study.metric.name, "name": f"test {study.metric.title}", "value": mean}],
    }
    return {
        "library_name": "pytorch",
        **({"pipeline_tag": task} if task else {}),
        "tags": ["knowledge-distillation", "kdtune"],
        **({"co2_eq_emissions": emissions} if emitted is not None else {}),
        "model-index": [{"name": f"{ran.name}-{one.name}", "results": [result]}],
    }


def _body(study: ReportedStudy, one: ReportedStrategy) -> str:
    ran, cost, result = study.study, one.result.cost, one.result
    mean = result.mean_and_std(study.metric, "test")[0]
    std = sample_std(list(one.figures.test.values()))
    kwh, grams = cost.of_one_model(cost.charged_kwh), cost.of_one_model(cost.charged_co2_g)
    teacher = "not known" if cost.teacher_kwh is None else energy(cost.teacher_kwh / (cost.teachers or 1))
    if cost.teachers:
        teacher += f" on average for each of {cost.teachers} teachers"
    chosen = ", ".join(dict.fromkeys(describe_choice(repeat.chosen) for repeat in result.repeats))
    facts = [
        f"Student: {ran.student}. Teacher: {ran.teacher}. Data: {ran.dataset}. Loss: {ran.loss}. Tau: {chosen}.",
        f"Test {study.metric.title}: {with_unit(study.metric, mean, std)}, over "
        f"{counted(len(one.figures.test), 'repeat')}.",
        f"Energy of one model: {energy(kwh)}, CO2: {co2(grams)}. Every trial of the search is included.",
        f"The training of the teacher is not included: {teacher}.",
    ]
    table = as_markdown(study.comparison.outcomes, study.comparison.teacher, study.baseline)
    lines = notes(study.comparison.outcomes, study.comparison.teacher, study.baseline)
    return "\n\n".join(
        [
            f"# {for_markdown(ran.name)}: {for_markdown(one.name)}",
            f"A student network that kdtune distilled. {for_markdown(ran.description)}".rstrip(),
            markdown_list(facts),
            "## How it compares",
            for_markdown(recommendation_text(study.recommendation)),
            table,
            markdown_list(lines),
        ]
    )


def _yaml(table: dict[str, Any]) -> str:
    """Return YAML with one line for each key; values are JSON, which YAML includes."""
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=True)}\n" for key, value in table.items())
