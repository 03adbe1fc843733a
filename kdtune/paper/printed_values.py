"""The paper's printed values, read with all digits from ``printed_values.toml`` in this folder."""

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

#: Stands for a strategy in the rows of teachers.
TEACHER = "teacher"

#: Columns that the paper prints in percent; kdtune uses fractions.
PERCENT = frozenset({"accuracy", "map"})


@dataclass(frozen=True)
class PaperRow:
    """One row of a table.

    Attributes:
        method: Name of the method in the paper.
        study: The corresponding study of kdtune; None without one.
        strategy: Strategy of the study, or :data:`TEACHER`; empty in a row about a network.
        values: The printed figures by column, accuracies in percent.
        stds: Printed deviations by column.
        footnotes: Descriptions of errors and peculiarities of the row.
        network: In a row about a network, the corresponding network of kdtune; otherwise None.
        classes: Number of classes of its data set.
    """

    method: str
    study: str | None
    strategy: str
    values: dict[str, Decimal]
    stds: dict[str, Decimal]
    footnotes: tuple[str, ...]
    network: str | None = None
    classes: int = 0

    @property
    def key(self) -> tuple[str | None, str]:
        """The study and the strategy that fill the row. The same row may occur in several tables."""
        return self.study, self.strategy


@dataclass(frozen=True)
class PaperBlock:
    """The columns of a table under one heading, usually a data set.

    Attributes:
        name: Correct name of the block.
        columns: Printed columns, in order.
        rows: Rows, in order.
        footnotes: Descriptions of errors and peculiarities of the block.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    footnotes: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper: its number, a title and its blocks."""

    number: int
    title: str
    blocks: tuple[PaperBlock, ...]


@dataclass(frozen=True)
class PaperStudy:
    """The settings that identify one of the paper's studies, which kdtune ships.

    Attributes:
        epochs: Epochs of its trainings; None for those of most of the paper.
        recipe: How its trainings are known; None if the released code and the text have them.
    """

    dataset: str
    teacher: str
    student: str
    loss: str
    batch_size: int = 128
    epochs: int | None = None
    recipe: str | None = None


@dataclass(frozen=True)
class PaperInference:
    """Printed seconds and grams of CO2 of a network's pass over the evaluation images."""

    model: str
    seconds: Decimal
    co2_g: Decimal


@dataclass(frozen=True)
class PaperValues:
    """The whole file.

    Attributes:
        epochs: Epochs of every training of a classifier.
        repeats: Number of runs behind each mean.
        studies: Studies by name.
        tables: Tables in the paper's order.
        inference: Printed values of Figure 1.
    """

    epochs: int
    repeats: int
    studies: dict[str, PaperStudy]
    tables: tuple[PaperTable, ...]
    inference: PaperInference

    def epochs_of(self, study: str) -> int:
        """Return the epochs of the trainings of a study."""
        known = self.studies.get(study)
        return (known.epochs if known else None) or self.epochs


@cache
def paper_values() -> PaperValues:
    """Return the paper's printed values."""
    text = files("kdtune.paper").joinpath("printed_values.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text, parse_float=Decimal)
    notes: dict[str, str] = document["footnotes"]

    def row(table: dict, columns: list[str]) -> PaperRow:
        return PaperRow(
            method=table["method"],
            study=table.get("study"),
            strategy=table.get("strategy", ""),
            values={column: Decimal(table[column]) for column in columns},
            stds={column: table[f"{column}_std"] for column in columns if f"{column}_std" in table},
            footnotes=tuple(notes[name] for name in table.get("footnotes", ())),
            network=table.get("network"),
            classes=table.get("classes", 0),
        )

    tables = tuple(
        PaperTable(
            table["number"],
            table["title"],
            tuple(
                PaperBlock(
                    name=block["name"],
                    columns=tuple(block["columns"]),
                    rows=tuple(row(one, block["columns"]) for one in block["rows"]),
                    footnotes=tuple(notes[name] for name in block.get("footnotes", ())),
                )
                for block in table["blocks"]
            ),
        )
        for table in document["tables"]
    )
    studies = {name: PaperStudy(**table) for name, table in document["studies"].items()}
    return PaperValues(
        document["epochs"], document["repeats"], studies, tables, PaperInference(**document["inference"])
    )
