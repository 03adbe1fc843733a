"""What the paper prints, read from ``paper_values.toml`` beside this module, its digits kept."""

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

#: The row of a teacher is no strategy's.
TEACHER = "teacher"

#: In percent where the paper prints them; kdtune's own are fractions.
PERCENT = frozenset({"accuracy", "map"})


@dataclass(frozen=True)
class PaperRow:
    """One row of a table.

    Attributes:
        method: As the paper calls it.
        study: kdtune's study that stands for it; None where there is none.
        strategy: Its strategy, or :data:`TEACHER`.
        values: The printed figures by column, accuracies in percent.
        stds: Printed deviations by column.
        footnotes: What is wrong or special about the row, in words.
    """

    method: str
    study: str | None
    strategy: str
    values: dict[str, Decimal]
    stds: dict[str, Decimal]
    footnotes: tuple[str, ...]

    @property
    def key(self) -> tuple[str | None, str]:
        """What fills it: a study and a strategy. Tables share rows."""
        return self.study, self.strategy


@dataclass(frozen=True)
class PaperBlock:
    """The columns of a table that stand under one heading, mostly a data set.

    Attributes:
        name: Its right name.
        columns: What is printed, in order.
        rows: In order.
        footnotes: What is wrong or special about the whole block.
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
    """A study of the paper's as kdtune ships it: what makes it that study and no other."""

    dataset: str
    teacher: str
    student: str
    loss: str
    batch_size: int = 128


@dataclass(frozen=True)
class PaperInference:
    """What a network took for one pass over the evaluation images, in seconds and grams of CO2, as printed."""

    model: str
    seconds: Decimal
    co2_g: Decimal


@dataclass(frozen=True)
class PaperValues:
    """The whole file.

    Attributes:
        epochs: Of every training of a classifier.
        repeats: Runs behind each mean.
        studies: By name.
        tables: In the paper's order.
        inference: What Figure 1 prints.
    """

    epochs: int
    repeats: int
    studies: dict[str, PaperStudy]
    tables: tuple[PaperTable, ...]
    inference: PaperInference


@cache
def paper_values() -> PaperValues:
    """The paper's figures."""
    text = files("kdtune.paper").joinpath("printed_values.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text, parse_float=Decimal)
    notes: dict[str, str] = document["footnotes"]

    def row(table: dict, columns: list[str]) -> PaperRow:
        return PaperRow(
            method=table["method"],
            study=table.get("study"),
            strategy=table["strategy"],
            values={column: Decimal(table[column]) for column in columns},
            stds={column: table[f"{column}_std"] for column in columns if f"{column}_std" in table},
            footnotes=tuple(notes[name] for name in table.get("footnotes", ())),
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
