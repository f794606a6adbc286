"""A table of measurements with its definitions, as text, JSON, Markdown and a picture."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column: what it is called, what it means, how it is printed.

    Attributes:
        name: short heading.
        definition: one sentence, with the unit.
        format: format specification of a value, as in `format(value, ".2f")`.
        better: `"higher"` or `"lower"`.
    """

    name: str
    definition: str
    format: str = ".3f"
    better: str = "lower"


@dataclasses.dataclass(frozen=True)
class Report:
    """Rows of measurements.

    Attributes:
        title: one line.
        setting: what was measured and how: inputs, counts, sizes, networks; printed as it stands.
        metrics: the columns.
        rows: values by metric name, for each row's label; NaN or absence is "not measured" and prints as n/a.
    """

    title: str
    setting: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    rows: Mapping[str, Mapping[str, float]]

    def markdown(self) -> str:
        """Title, setting, table and definitions."""
        header = ["", *(f"{metric.name} {'↑' if metric.better == 'higher' else '↓'}" for metric in self.metrics)]
        table = [header, *([label, *map(self._text(values), self.metrics)] for label, values in self.rows.items())]
        widths = [max(len(row[column]) for row in table) for column in range(len(header))]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in table]
        lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
        setting = [f"- {name}: {value}" for name, value in self.setting.items()]
        definitions = [f"- **{metric.name}**: {metric.definition}." for metric in self.metrics]
        return "\n".join([f"### {self.title}", "", *setting, "", *lines, "", *definitions, ""])

    def save(self, directory: str | os.PathLike, name: str) -> None:
        """Writes NAME.json and NAME.md into `directory`, which is made if need be."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        content = {
            "title": self.title,
            "setting": dict(self.setting),
            "definitions": {metric.name: metric.definition for metric in self.metrics},
            "rows": {
                label: {key: value if math.isfinite(value) else None for key, value in values.items()}
                for label, values in self.rows.items()
            },
        }
        for suffix, text in ((".json", json.dumps(content, indent=2, default=str) + "\n"), (".md", self.markdown())):
            draft = directory / f".{name}{suffix}.part"
            draft.write_text(text)
            draft.replace(directory / f"{name}{suffix}")

    @staticmethod
    def _text(values: Mapping[str, float]):
        def text(metric: Metric) -> str:
            value = values.get(metric.name, math.nan)
            return "n/a" if math.isnan(value) else format(value, metric.format)

        return text


def mean_rows(tables: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over tables, of the rows and columns that all of them have; NaN where one has NaN."""
    shared = [label for label in tables[0] if all(label in table for table in tables)]
    rows = {label: [table[label] for table in tables] for label in shared}
    return {
        label: {
            name: float(np.mean([row[name] for row in of_tables]))
            for name in of_tables[0]
            if all(name in row for row in of_tables)
        }
        for label, of_tables in rows.items()
    }
