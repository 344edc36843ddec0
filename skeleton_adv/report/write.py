"""Tables as files: Markdown, LaTeX and CSV, and the commands that made their runs."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from skeleton_adv.core.files import write_whole
from skeleton_adv.report.columns import expand, scope_of
from skeleton_adv.report.table import Page, Table, page
from skeleton_adv.report.weakness import signs
from skeleton_adv.runs.load import Run

LATEX = str.maketrans(
    {
        "β": r"$\beta$",
        "Δ": r"$\Delta$",
        "ε": r"$\varepsilon$",
        "ℓ": r"$\ell$",
        "σ": r"$\sigma$",
        "‰": r"\textperthousand{}",
    }
)


def write(
    table: Table, own: Sequence[Run], frame: pd.DataFrame, runs: Sequence[Run], out: Path, wide: bool = False
) -> list[Path]:
    """Write a table's rows of its ``own`` runs, among all ``runs`` of one dataset, as Markdown, LaTeX and CSV."""
    scope = scope_of(own)
    pages = {"": (frame, table.page(frame, scope, wide))}
    heading, first = table.heading(own), pages[""][1]
    of_runs = [*_page(first), table.about(own, first.columns), ""]
    compared: list[str] = []
    for more in table.further:
        seen = runs if more.of_all else own
        if numbers := more.rows(seen):
            columns = expand(more.columns(seen), scope)
            pages[more.name] = (pd.DataFrame(numbers), page(numbers, columns, (), scope, wide=True))
            compared += [more.heading, "", *_page(pages[more.name][1])]
    parts = [*compared, "All runs:", "", *of_runs] if table.runs_last and compared else [*of_runs, *compared]
    weak = [f"- {run_name(run)}: {words}" for run, words in signs(own, runs)] if table.kind == "attack" else []
    lines = [f"# {heading}", "", *parts]
    lines += ["Signs that an attack is weaker than it could be:", "", *weak, ""] if weak else []
    lines += ["Made by:", "", *(f"    {command}" for command in commands(own)), ""]
    stem = out / own[0].dataset / table.name
    paths = [write_whole(stem.with_suffix(".md"), "\n".join(lines))]
    for suffix, (values, shown) in pages.items():
        paths += _numbers(stem.with_name(stem.name + suffix), heading, values, shown)
    return paths


def _page(shown: Page) -> list[str]:
    """A page in Markdown."""
    common = [shown.common, ""] if shown.common else []
    return [*common, tabulate(shown.grid, "keys", "pipe", disable_numparse=True), ""]


def _numbers(stem: Path, heading: str, values: pd.DataFrame, shown: Page) -> list[Path]:
    """A page's LaTeX and CSV."""
    common = f"% {shown.common}\n" if shown.common else ""
    latex = tabulate(shown.grid, "keys", "latex_booktabs", disable_numparse=True).translate(LATEX)
    tex = write_whole(stem.with_name(f"{stem.name}.tex"), f"% {heading}\n{common}{latex}\n")
    text = values.to_csv(index=False, float_format="%.6g")
    return [tex, write_whole(stem.with_name(f"{stem.name}.csv"), text)]


def run_name(run: Run) -> str:
    """A run by its attack, its victim and its identity."""
    return f"{run.attack} on {run.victim} ({run.identity})"


def commands(runs: Sequence[Run]) -> list[str]:
    """The commands that made these runs; one command for a sweep if all its runs are among them."""
    sweeps: dict[str, list[Run]] = {}
    for run in runs:
        sweeps.setdefault(_sweep(run), []).append(run)
    found: set[str] = set()
    for command, group in sweeps.items():
        whole = group[0].sweep is not None and len({run.command for run in group}) == group[0].sweep.get("jobs")
        found |= {command} if whole else {run.command for run in group}
    return sorted(found)


def _sweep(run: Run) -> str:
    """The command of the sweep that a run is part of, or its own command if it is not part of a sweep.

    Keys that the experiment's file sweeps are left out if known (``typed``: the keys that were typed).
    """
    if run.sweep is None:
        return run.command
    swept: Mapping[str, str] = run.sweep.get("params", {})
    typed = run.sweep.get("typed", [*swept])
    kept = [word for word in _words(run.command) if word.partition("=")[0].lstrip("+") not in swept]
    flag = [] if run.experiment else ["-m"]
    return shlex.join([*kept, *flag, *(f"{key}={values}" for key, values in swept.items() if key in typed)])


def _words(command: str) -> list[str]:
    """The words of a command; those of older runs are not quoted for a shell."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
