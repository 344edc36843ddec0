"""The engine of tables: a declaration and runs -> rows of numbers (the CSV), and the page to read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from skeleton_adv.core.errors import RunError
from skeleton_adv.report import published, words
from skeleton_adv.report.columns import (
    CONFIDENCE,
    CSV_COLUMNS,
    RATES,
    Column,
    Item,
    Row,
    Scope,
    expand,
    has,
    rate_cell,
    scope_of,
    text_cell,
)
from skeleton_adv.report.differences import differences
from skeleton_adv.report.published import Published
from skeleton_adv.runs.load import Run

MOST = 10  # columns of a page by default
DIFFERS = Column("differs", "differs", note="Differs: the settings in which a row differs from other rows.")


@dataclass(frozen=True)
class Beside:
    """Runs that share a row, side by side: the value that names each, and the settings that distinguish them."""

    value: Callable[[Run], str]
    covers: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A table to read: a sentence about what all rows have in common, and the grid of the columns that differ."""

    common: str
    grid: Mapping[str, list[str]]
    columns: Sequence[Column]  # of the grid and of the sentence


@dataclass(frozen=True)
class FurtherPage:
    """A further page of a table: its heading, its numbers, and its columns.

    ``rows`` and ``columns`` receive the runs of the table, or with ``of_all`` all runs of its dataset.
    """

    name: str
    heading: str
    rows: Callable[[Sequence[Run]], list[dict[str, Any]]]
    columns: Callable[[Sequence[Run]], Sequence[Item]]
    of_all: bool = False


@dataclass(frozen=True)
class Table:
    """One table, declared.

    - ``name``: of its files
    - ``title``: what it measures
    - ``takes``: which runs of its ``kind`` it accepts; None: those that no other table accepts
    - ``lead``: the columns that define a row; they sort the rows, and "differs" omits their settings
    - ``columns``: the visible columns, the most important first
    - ``also``: further columns of the CSV
    - ``beside``: the runs that share a row; None: each run has a row
    - ``published``: the published cells that appear beside ours
    - ``grid``: the columns that, with the goal, identify the published rows that are listed even if not run
    - ``notes``: what a reader must know about these runs
    - ``further``: further pages
    - ``runs_last``: whether a file for people begins with the further pages and ends with the runs
    - ``apart``: a value of a run; runs with different values have tables of their own
    - ``kind``: of rows
    """

    name: str
    title: str
    takes: Callable[[Run], bool] | None
    lead: tuple[Column, ...]
    columns: tuple[Item, ...]
    also: tuple[Item, ...] = CSV_COLUMNS
    beside: Beside | None = None
    published: Published | None = None
    grid: tuple[str, ...] | None = None
    notes: Callable[[Sequence[Run]], str] = lambda runs: ""
    further: tuple[FurtherPage, ...] = ()
    runs_last: bool = False
    apart: Callable[[Run], str] | None = None
    kind: str = "attack"

    def rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        """The numbers: one row per run (or per runs side by side), and one per published cell that was not run.

        Rates are fractions, lengths are in the clips' unit, angles in radians.
        """
        if len({run.dataset for run in runs}) > 1:
            raise RunError(f"{self.title} covers one dataset, but these runs have several")
        found = [*self._measured(runs).values(), *self._not_run(runs)]
        frame = pd.DataFrame(found).assign(dataset=runs[0].dataset)
        places = sorted(range(len(frame)), key=lambda place: [_rank(column, found[place]) for column in self.lead])
        return frame.iloc[places].reset_index(drop=True)

    def _measured(self, runs: Sequence[Run]) -> dict[Any, dict[str, Any]]:
        """The row of each run, by what distinguishes it from other rows."""
        lead = [column.of(runs) for column in self.lead]
        columns = expand((*self.columns, *self.also), scope_of(runs))
        measured = [(column, column.of(runs)) for column in columns if column.key not in {c.key for c in self.lead}]
        covered = {key for column in self.lead for key in column.covers}
        covered |= {*self.beside.covers} if self.beside else set()
        found: dict[Any, dict[str, Any]] = {}
        for run, apart in zip(runs, differences(runs, covered), strict=True):
            leading = {name: value for values_of in lead for name, value in values_of(run).items()}
            row = found.setdefault(self._row_key(run), leading | {"differs": apart})
            prefix = f"{self.beside.value(run)}_".replace(" ", "_") if self.beside else ""
            values = {name: value for _, values_of in measured for name, value in values_of(run).items()}
            values["run"] = run.identity
            if f"{prefix}run" in row:
                raise RunError(f"{row[f'{prefix}run']} and {run.identity} belong to the same cell of {self.name}")
            row |= {name if name == "test_clips" else prefix + name: value for name, value in values.items()}
            row |= self.published.beside(published.facts(run)) if self.published else {}
        return found

    def _row_key(self, run: Run) -> Any:
        """What distinguishes a run's row: its identity, or all its settings except those that vary side by side."""
        if self.beside is None:
            return run.identity
        options = [run.victim, run.defense, run.attack, run.surrogate]
        return repr([options, sorted((k, v) for k, v in run.settings.items() if k not in self.beside.covers)])

    def _not_run(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """A row for each cell of the published grid of these victims and attacks that was not run."""
        if self.published is None or self.grid is None:
            return []
        ours: dict[tuple[str, str], dict[str, Any]] = {}
        covered = set()
        for run in runs:
            facts = published.facts(run)
            if facts["split"] and facts["model"]:
                ours.setdefault((run.victim, run.attack), facts)
                place = tuple(facts[name] for name in ("setting", *self.grid))
                covered |= {(run.victim, run.attack, place)} if facts["plain"] else set()
        found = []
        for (victim, attack), facts in sorted(ours.items()):
            for cell in self.published.grid(("setting", *self.grid)):
                if (victim, attack, tuple(cell.values())) not in covered:
                    beside = self.published.beside({**facts, **cell, "plain": True})
                    found.append({"model": victim, "attack": attack, "clips": 0, **cell, **beside})
        return found

    def heading(self, runs: Sequence[Run]) -> str:
        """What was measured, on which data, and in which space."""
        return f"{self.title}, {words.data_summary(runs)}"

    def page(self, frame: pd.DataFrame, scope: Scope, wide: bool = False) -> Page:
        """The rows to read: at most ten columns, or all if ``wide``."""
        rows: list[Row] = frame.to_dict("records")  # type: ignore[assignment]
        columns = expand(self.columns, scope)
        lead, columns = [column for column in self.lead if column.head], [column for column in columns if column.head]
        columns = _side_by_side(columns, rows) if self.beside else columns
        return page(rows, lead, columns, scope, wide)

    def about(self, runs: Sequence[Run], shown: Sequence[Column]) -> str:
        """What a reader must know about the columns that are shown and about the victims."""
        notes = [f"Paper: Zheng et al. on {runs[0].stands_for}."] if any(c.key[:6] == "paper_" for c in shown) else []
        notes += published.remarks({name for run in runs for name in (run.victim, run.surrogate) if name})
        if any(run.trained_here is False for run in runs):
            notes.append("Some of these victims were trained on other clips than these.")
        notes += [f"{remark}." for run in runs for remark in run.remarks]
        notes += [CONFIDENCE] if any("conf" in run.of_attack for run in runs if run.kind == "attack") else []
        notes += [RATES] if any(column.show is rate_cell for column in shown) else []
        notes.append(self.notes(runs))
        notes += [column.note if isinstance(column.note, str) else column.note(runs) for column in shown]
        sentences = [one for note in notes for one in note.replace(". ", ".\n").split("\n") if one]
        return " ".join(dict.fromkeys(sentences))


def page(rows: Sequence[Row], lead: Sequence[Column], columns: Sequence[Column], scope: Scope, wide: bool) -> Page:
    """Lay out rows: a sentence about what all have in common, then the lead columns, then the others in their order."""
    heads = {column.key: _head(column, scope) for column in (*lead, *columns)}
    texts = {column.key: [column.show(row, column.key) for row in rows] for column in (*lead, *columns)}
    texts["differs"] = [text_cell(row, "differs") for row in rows]
    ran = [not _empty_row(row) for row in rows]
    common, leading, shared = [], [], []
    for column in lead:
        values = {value for value, there in zip(texts[column.key], ran, strict=True) if there or value}
        if len(values) > 1:
            leading.append(column)
        elif values - {""}:
            common.append(f"{heads[column.key]} = {values.pop()}")
            shared.append(column)
    leading = [*lead] if wide else leading
    if not wide:
        common += [f"clips = {_either(texts[column.key])}" for column in columns if column.head == "clips"]
        columns = [column for column in columns if column.head != "clips"]
    differs = [DIFFERS] if any(texts["differs"]) else []
    filled = [column for column in columns if any(texts[column.key])]
    chosen = filled if wide else _most_important(filled, MOST - len(leading) - len(differs))
    if len(chosen) > 1 and chosen[-1].key.startswith("paper_"):
        chosen = chosen[:-1]  # our column does not fit beside it
    ours = next((column for column in chosen if not column.key.startswith("paper_")), None)
    if ours:
        texts[ours.key] = [one if there else "not run" for one, there in zip(texts[ours.key], ran, strict=True)]
    shown = [column for column in leading if any(texts[column.key])] + chosen + differs
    grid = {heads.get(column.key, column.head): texts[column.key] for column in shown}
    if wide or not common:
        return Page("", grid, shown)
    return Page(f"In every row: {'; '.join(common)}.", grid, [*shared, *shown])


def _head(column: Column, scope: Scope) -> str:
    """The heading of a column, with the units of these clips."""
    head = column.head.format(length=scope.unit.length, small=scope.unit.small)
    return head.replace(" :", ":").strip()


def _most_important(columns: Sequence[Column], room: int) -> list[Column]:
    """As many columns as fit, in their order: first those that are always shown, then the most important."""
    wanted = sorted(columns, key=lambda column: not column.always)[: max(room, 1)]
    halved = {column.pair for column in columns if column.pair and column not in wanted and not column.always}
    return [column for column in columns if column in wanted and column.pair not in halved]


def _either(texts: Sequence[str]) -> str:
    """The numbers of clips of all rows, each once; only the smallest and the largest if there are many."""
    each = sorted(dict.fromkeys(filter(None, texts)), key=lambda one: (len(one), one))
    if len({one.partition(" of ")[2] for one in each}) == 1:
        each = [*(one.partition(" of ")[0] for one in each[:-1]), each[-1]]
    return " or ".join(each) if len(each) <= 3 else f"{each[0]} to {each[-1]}"


def _empty_row(row: Row) -> bool:
    """Whether a row is that of a published cell that was not run."""
    return "clips" in row and row["clips"] == 0


def _rank(column: Column, row: Row) -> tuple[int, Any]:
    """What a row is sorted by: numbers first, then texts, then empty cells."""
    if not has(row, column.key):
        return 2, 0
    value = column.rank(row[column.key]) if column.rank else row[column.key]
    return int(isinstance(value, str)), value


def _side_by_side(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """Each column once per kind of run that shares a row, or once per row if all kinds agree."""
    kinds = [key[: -len("run")] for key in rows[0] if key.endswith("_run")]
    found: list[Column] = []
    for column in columns:
        if column.key in rows[0]:
            found.append(column)
            continue
        each = [
            replace(column, key=kind + column.key, head=f"{_named(kind)}: {column.head}", pair=column.key)
            for kind in kinds
        ]
        alike = all(len({one.show(row, one.key) for one in each} - {""}) <= 1 for row in rows)
        found += [_merged(column, each)] if column.once and alike else each
    return found


def _merged(column: Column, each: Sequence[Column]) -> Column:
    def shown(row: Row, key: str) -> str:
        return next((words for one in each if (words := one.show(row, one.key))), "")

    return replace(column, show=shown)


def _named(kind: str) -> str:
    return kind.strip("_").replace("_", " ")
