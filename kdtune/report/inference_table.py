"""Tables of inference: the cost of teacher and student, and when a student has repaid its charge."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kdtune.analysis.verdicts import CONFIDENCE, t_interval
from kdtune.energy.attribution import FLAGS
from kdtune.paper.printed_values import paper_values
from kdtune.report.cost_rows import Row
from kdtune.report.inference_units import InferenceUnits, co2_g_per_pass
from kdtune.report.number_formats import NOTHING, amount, of_metric, ratio, significant, with_unit
from kdtune.report.row_names import network_name
from kdtune.report.split_table import PLAIN_HEAD
from kdtune.report.tables import how_computed, how_emitted, how_far_off, how_measured
from kdtune.report.units import Unit, joule_unit
from kdtune.results.inference_document import InferenceDocument, NetworkInUse, Payback

NETWORK_COLUMNS = (
    "network",
    "parameters",
    "MACs",
    "test acc. %",
    "{time} a pass",
    "images/s",
    "{energy} an image",
    "{energy_of_pass} a pass",
    "{co2_of_pass} CO2 a pass",
    "{co2_of_million} CO2 a million",
)

PAYBACK_COLUMNS = (
    "strategy",
    "test acc. %",
    "charged ({charge})",
    "repaid after",
    "with teacher ({charge})",
    "repaid after",
)

REPAID = "Predictions after which a student has repaid what it was charged"

NEVER = "never"

NOT_SETTLED = "not settled"

#: Share of other processes in the node's energy from which a note is shown.
OTHERS_MATTER = 0.05


def inference_tables(documents: Sequence[InferenceDocument]) -> RenderableType:
    """Return the tables of ``inference.json`` documents. Adjacent ones that were measured together share tables."""
    parts: list[RenderableType] = []
    for _, group in groupby(documents, key=lambda document: (document.teacher, document.int8)):
        together = list(group)
        first, units = together[0], InferenceUnits.of(together)
        title = (
            f"{first.study}: inference, {first.test_images} test images a pass, {first.batch_size} at a time, "
            f"on {first.device_name}"
        )
        parts += [
            *([Text("")] if parts else []),
            _table(title, units.named(NETWORK_COLUMNS, first), network_rows(first, units)),
            _table(REPAID, units.named(PAYBACK_COLUMNS, first), [payback_row(one, units) for one in together]),
            *(Text(line, style="dim") for line in notes(together)),
        ]
    return Group(*parts)


def _table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", box=PLAIN_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def network_rows(document: InferenceDocument, units: InferenceUnits) -> list[Row]:
    """Return rows for the teacher, the student, and the ratios of teacher to student."""
    teacher, student = document.teacher, document.student
    pairs = [
        (teacher.parameters, student.parameters),
        (teacher.macs, student.macs),
        (teacher.ms_per_pass, student.ms_per_pass),
        (teacher.uj_per_image, student.uj_per_image),
        (teacher.j_per_pass, student.j_per_pass),
    ]
    of_parameters, of_macs, of_time, of_energy, of_pass = (ratio(more / less) for more, less in pairs)
    of_last = [NOTHING, of_energy, *[of_pass] * 2, of_energy]
    return [
        _network_row(network_name("teacher", teacher.model), document, teacher, units),
        _network_row(network_name("student", student.model), document, student, units),
        *([_network_row("student, int8", document, document.int8, units)] if document.int8 else []),
        ["teacher / student", of_parameters, of_macs, NOTHING, of_time, *of_last],
    ]


def _network_row(name: str, document: InferenceDocument, network: NetworkInUse, units: InferenceUnits) -> Row:
    return [
        name,
        f"{network.parameters:,}",
        amount(network.macs),
        of_metric(document.deciding, network.deciding),
        units.time.number(network.ms_per_pass / 1e3),
        _spread(network.images_per_s, network.images_per_s_std),
        _energy_of_image(network, units.energy),
        units.energy_of_pass.number(network.j_per_pass),
        units.co2_of_pass.number(co2_g_per_pass(document, network)),
        units.co2_of_million.number(network.co2_g_per_million),
    ]


def _energy_of_image(network: NetworkInUse, unit: Unit) -> str:
    std = network.uj_per_image_std
    return unit.number(network.uj_per_image / 1e6) + ("" if std is None else f" +- {unit.number(std / 1e6, 2)}")


def _spread(mean: float, std: float | None) -> str:
    return amount(mean) + ("" if std is None else f" +- {significant(std, 2)}")


def payback_row(document: InferenceDocument, units: InferenceUnits) -> Row:
    """Return a strategy's row with its charge and when it is repaid, without and with the teacher."""
    alone, with_teacher = document.payback.one_model, document.payback.with_teacher
    return [
        document.strategy,
        of_metric(document.deciding, document.in_use.deciding),
        _charge(alone, units.charge),
        repaid_after(alone),
        _charge(with_teacher, units.charge),
        repaid_after(with_teacher) if with_teacher.charged_uj is not None else NOTHING,
    ]


def _charge(payback: Payback, unit: Unit) -> str:
    return NOTHING if payback.charged_uj is None else unit.number(payback.charged_uj / 1e6)


def repaid_after(payback: Payback) -> str:
    """Return a number of predictions with its range, ``never``, ``not settled``, or a dash for an unknown charge."""
    if payback.never:
        return NEVER
    if payback.unsettled:
        return NOT_SETTLED
    if payback.predictions is None:
        return NOTHING
    return f"{amount(payback.predictions)} ({amount(payback.fewest)} to {amount(payback.most)})"


def payback_line(documents: Sequence[InferenceDocument]) -> str:
    """Return paybacks in one line, shown below a cost table; empty if no strategy has a model."""
    by_setting: dict[str, list[str]] = {}
    for document in documents:
        if document.payback.one_model.charged_uj is not None:
            how = f"{document.batch_size} at a time on {document.device_name}"
            repaid = f"{document.strategy} {repaid_after(document.payback.one_model)}"
            by_setting.setdefault(how, []).append(repaid)
    if not by_setting:
        return ""
    return f"{REPAID}: " + "; ".join(f"{', '.join(repaid)} ({how})" for how, repaid in by_setting.items()) + "."


def notes(documents: Sequence[InferenceDocument]) -> list[str]:
    """Return notes on the figures of strategies that were measured together."""
    first = documents[0]
    networks = {"teacher": first.teacher, "student": first.student}
    lines = [how_measured(first.teacher.quality, first.hardware)]
    lines.append(
        how_far_off("Energy and CO2", [one.uncertainty_uj / one.charged_uj for one in networks.values()])
        + " The networks took turns; +- is the deviation over turns."
    )
    shares = ", ".join(f"{one.static_uj / one.charged_uj:.0%} of the {name}'s" for name, one in networks.items())
    lines.append(
        f"The energy includes static power while a network runs ({shares}): memory"
        + (", and idle devices" if first.attribution == "dedicated" else " for the cores in use")
        + ". The idle power of a GPU, or of a CPU with a counter, is in the remainder."
    )
    lines += [
        f"Note on the measurement: {FLAGS[name]}."
        for name in dict.fromkeys(flag for one in networks.values() for flag in one.flags)
    ]
    others = max(one.energy_uj["other"] / one.energy_uj["node_total"] for one in networks.values())
    if others >= OTHERS_MATTER:
        lines.append(
            f"Other processes used up to {others:.0%} of the machine's energy during the measurement. The networks may "
            "be faster on a quiet machine, and another metered study is charged for a part of the memory."
        )
    lines.append(how_emitted(first.carbon))
    lines.append(how_computed(first.computed) + f" Threads: {first.threads}.")
    if len(documents) > 1:
        lines.append(
            f"The student of {first.timed_student} was timed; the others are the same network with other weights, and "
            "each was tested."
        )
    lines += _disagreements(documents)
    lines.append("The networks are those of the first repeat, and so are their test results; compare shows the means.")
    lines.append(
        "Charges are those of one model, the mean over repeats; with the teacher they include its whole training. "
        "Joules are IT energy, before PUE. The energy of the measurement is not charged."
    )
    return [*lines, *_repaid(documents), *_papers(first), *_elsewhere(first)]


def _repaid(documents: Sequence[InferenceDocument]) -> list[str]:
    """Return notes on the precision of the paybacks."""
    interval, paybacks = (
        t_interval(documents[0].saved_uj_per_image),
        [document.payback.one_model for document in documents],
    )
    lines = []
    if interval and interval.is_bounded:
        unit = joule_unit([interval.mean / 1e6])
        lines.append(
            f"A prediction saves {unit.text(interval.mean / 1e6)} ({unit.number(interval.low / 1e6)} to "
            f"{unit.number(interval.high / 1e6)}: {CONFIDENCE:.0%}, Student's t over {interval.n} pairs of turns), "
            "from which the ranges of predictions follow."
        )
    if any(payback.never for payback in paybacks):
        lines.append("Never: the student uses no less energy than the teacher here, so it never repays its charge.")
    if reasons := dict.fromkeys(payback.unsettled for payback in paybacks if payback.unsettled):
        lines.append(f"Not settled: {'; '.join(reasons)}. Measure longer (--seconds), on a quiet machine.")
    return lines


def _papers(document: InferenceDocument) -> list[str]:
    """Return the paper's printed values for networks that were measured here."""
    printed = paper_values().inference
    networks = {"teacher": document.teacher, "student": document.student}
    return [
        f"Figure 1 of the paper prints {printed.seconds} s and {printed.co2_g} g CO2 for a pass of its "
        f"{printed.model} over its evaluation set, on its GPU; the {role}'s here took "
        f"{significant(network.ms_per_pass / 1e3)} s and {significant(co2_g_per_pass(document, network))} g "
        f"for {document.test_images} images on {document.device_name}."
        for role, network in networks.items()
        if network.model == printed.model
    ]


def _disagreements(documents: Sequence[InferenceDocument]) -> list[str]:
    """Return notes on accuracies and objectives that differ from those that the study recorded."""
    images, metric = documents[0].test_images, documents[0].deciding
    tested = {"the teacher": documents[0].teacher}
    tested |= {f"the student of {document.strategy}": document.student for document in documents}
    lines = []
    for name, one in tested.items():
        if one.test_accuracy is not None and one.recorded_test_accuracy is not None:
            found, recorded = round(one.test_accuracy * images), round(one.recorded_test_accuracy * images)
            if found != recorded:
                lines.append(
                    f"Different from the record: {name} classified {found} of {images} test images correctly here, and "
                    f"{recorded} when the study ran."
                )
        elif one.test_objective is not None and one.recorded_test_objective is not None:
            now, then = one.test_objective, one.recorded_test_objective
            if abs(now - then) >= metric.resolution:
                lines.append(
                    f"Different from the record: {name} reached a {metric.title} of {with_unit(metric, now)} here, "
                    f"and of {with_unit(metric, then)} when the study ran."
                )
    return lines


def _elsewhere(document: InferenceDocument) -> list[str]:
    """Return notes on differences between the charges and the measurement that limit their comparison."""
    there, here = ({str(node) for node in nodes} for nodes in (document.charged.hardware, document.hardware))
    lines = []
    if there and there != here:
        lines.append(f"The study was charged on another machine than this one: {'; '.join(sorted(there))}.")
    if (charged := document.charged.quality) != document.teacher.quality:
        lines.append(
            f"The charge was obtained in another way ({charged or 'not measured'}) than the saving, so the payback is "
            "less certain."
        )
    return lines
