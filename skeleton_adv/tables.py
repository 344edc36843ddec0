"""Records -> the paper's tables as Markdown, LaTeX and CSV: ``python -m skeleton_adv.tables``."""

import argparse
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill

import pandas as pd
from tabulate import tabulate

from skeleton_adv.core.errors import RunError, UserError
from skeleton_adv.report.stats import Run, differences, load_run, load_runs, measures, rates
from skeleton_adv.report.tables.certified import NOTES, Certified, find_certified, load_certified
from skeleton_adv.report.tables.certified import readable as readable_certificates
from skeleton_adv.report.tables.certified import rows as certificate_rows
from skeleton_adv.report.tables.defended import TABLE4
from skeleton_adv.report.tables.transfer import TABLE2
from skeleton_adv.report.tables.white_box import TABLE1, TABLE3, TABLE5
from skeleton_adv.report.weakness import against_admm, readable_comparison, signs
from skeleton_adv.report.words import Table, deed, means, setting, show, unaware, unit, victim, where

TABLES: tuple[Table, ...] = (TABLE1, TABLE2, TABLE3, TABLE4, TABLE5)
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
SHOWN_KEYS = ("attack.beta", "attack.norm", "attack.eps", "targeted", "adaptive")  # what the screen's columns say
Pages = Mapping[str, tuple[pd.DataFrame, dict[str, list[str]]]]  # by a file's suffix: numbers, and what people read


def write(table: Table, runs: Sequence[Run], out: Path) -> list[Path]:
    """Write a table of one dataset as Markdown, LaTeX and CSV; return the files."""
    own = [run for run in runs if table.belongs(run)]
    frame = table.rows(own)
    pages = {"": (frame, _grid(table.readable(frame)))}
    comparison = against_admm(runs) if table.name == "table3" else frame.head(0)
    if len(comparison):
        pages["_against_admm"] = (comparison, _grid(readable_comparison(comparison)))
    heading = table.title(own)
    lines = [*_head(heading, pages, table.notes(own))]
    if len(comparison):
        lines += ["Over the clips that were first right and that both attacks fool, C&W / ADMM:", ""]
        lines += [tabulate(pages["_against_admm"][1], "keys", "pipe", disable_numparse=True), ""]
    weak = [f"- {_name(run)}: {warning}" for run in own for warning in signs(run, runs)]
    lines += ["Signs of an attack weaker than it could be:", "", *weak, ""] if weak else []
    lines += ["Made by:", "", *(f"    {command}" for command in _commands(table, own)), ""]
    return _files(out / own[0].about["dataset"] / table.name, heading, lines, pages)


def write_certified(runs: Sequence[Certified], out: Path) -> list[Path]:
    """Write a table of certificates for each dataset among the runs; return the files."""
    paths = []
    for dataset in sorted({run.about["dataset"] for run in runs}):
        here = [run for run in runs if run.about["dataset"] == dataset]
        frame, heading = certificate_rows(here), f"Certified accuracy {where(here)}"
        pages = {"": (frame, _grid(readable_certificates(frame, unit(here))))}
        lines = [*_head(heading, pages, NOTES), "Made by:", ""]
        lines += [*(f"    {command}" for command in sorted({run.about["command"] for run in here})), ""]
        paths += _files(out / dataset / "certified", heading, lines, pages)
    return paths


def _head(heading: str, pages: Pages, notes: str) -> list[str]:
    return [f"# {heading}", "", tabulate(pages[""][1], "keys", "pipe", disable_numparse=True), "", notes, ""]


def _files(stem: Path, heading: str, lines: Sequence[str], pages: Pages) -> list[Path]:
    """A table's Markdown, and LaTeX and CSV of each of its pages."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [_atomically(stem.with_name(f"{stem.name}.md"), "\n".join(lines))]
    for suffix, (values, grid) in pages.items():
        latex = tabulate(grid, "keys", "latex_booktabs", disable_numparse=True).translate(LATEX)
        paths.append(_atomically(stem.with_name(f"{stem.name}{suffix}.tex"), f"% {heading}\n{latex}\n"))
        text = values.to_csv(index=False, float_format="%.6g")
        paths.append(_atomically(stem.with_name(f"{stem.name}{suffix}.csv"), text))
    return paths


def _grid(frame: pd.DataFrame) -> dict[str, list[str]]:
    return {str(name): column.tolist() for name, column in frame.items()}


def write_all(runs: Sequence[Run], out: Path, tables: Sequence[Table] = TABLES) -> list[Path]:
    """Write these tables of every dataset among the runs, each in a folder of its own."""
    paths = []
    for dataset in sorted({run.about["dataset"] for run in runs}):
        here = [run for run in runs if run.about["dataset"] == dataset]
        paths += [path for table in tables if any(map(table.belongs, here)) for path in write(table, here, out)]
    return paths


def _commands(table: Table, runs: Sequence[Run]) -> list[str]:
    """The commands that made these runs; one for a whole grid that an experiment swept."""
    grids: dict[str, list[Run]] = {}
    for run in runs:
        kept = [word for word in _words(run.about["command"]) if word.partition("=")[0] not in table.swept]
        grids.setdefault(shlex.join(kept), []).append(run)
    commands: set[str] = set()
    for command, group in grids.items():
        complete = f"experiment={table.name}" in command and table.whole(group)
        commands |= {command} if complete else {run.about["command"] for run in group}
    return sorted(commands)


def _words(command: str) -> list[str]:
    """The words of a command; older runs have them as they were, not quoted for a shell."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _atomically(path: Path, text: str) -> Path:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
    return path


def report(folders: Iterable[Path], experiment: str | None, out: Path) -> None:
    """Show finished runs on the screen, with their files; write the experiment's table."""
    folders = list(dict.fromkeys(folders))
    certified = [folder for folder in folders if (folder / "certificates.csv").exists()]
    certificates = [one for folder in certified if (one := load_certified(folder)) is not None]
    runs = [run for folder in folders if folder not in certified and (run := load_run(folder)) is not None]
    if certificates:
        _show_certificates(certificates)
    if runs:
        _show_runs(runs)
    for run in runs:
        for warning in signs(run, runs):
            print(f"warning: {_name(run)}: {warning}")
    for folder in folders:
        print(f"records: {folder}/{'certificates' if folder in certified else 'records'}.csv")
    paths = [path for table in TABLES if table.name == experiment for path in write_all(runs, out, [table])]
    for path in paths + (write_certified(certificates, out) if experiment == "figure5" else []):
        print(f"table:   {path}")


def _show_runs(runs: Sequence[Run]) -> None:
    rows = []
    for dataset in dict.fromkeys(run.about["dataset"] for run in runs):
        here = [run for run in runs if run.about["dataset"] == dataset]
        apart = differences(here, SHOWN_KEYS)
        rows += [_shown(run) | {"differs": words} for run, words in zip(here, apart, strict=True)]
    shown = pd.DataFrame(rows)
    print(tabulate(_grid(shown.loc[:, (shown != "").any(axis=0)]), "keys", "simple", disable_numparse=True))
    print("\n[..]: 95 % Wilson interval. feasible: successful, and no bone, angle or speed exceeds its tolerance.")
    print("ℓ2 in metres and rms, a joint and frame, in millimetres; joints in an image: shares and thousandths of it.")
    _say_stand_in(runs)


def _shown(run: Run) -> dict[str, str]:
    """A run's row of the table on the screen."""
    rate, values = rates(run), measures(run)
    surrogate = run.about["choices"].get("model@surrogate")
    made = f", made on {surrogate}" if surrogate else ", unaware of the defense" if unaware(run) else ""
    return {
        "dataset": run.about["dataset"],
        "victim": victim(run),
        "attack": means(run) + made,
        "goal": setting(run),
        "T": str(run.about["num_frames"]),
        "clips": f"{run.about['done']} of {run.about['total']}",
        "clean %": show(rate["clean_accuracy"]),
        "success %": show(rate["success"]),
        "feasible %": show(rate["feasible_success"]),
        "ΔB/B %": f"{100 * values['bone']:.2f}",
        "ΔJ rad": f"{values['angle']:.3f}",
        "ΔK/K %": f"{100 * values['kinetic']:.2f}",
        "ℓ2": f"{values['l2']:.3f}",
        "rms ‰": f"{values['rms_mm']:.2f}",
    }


def _show_certificates(runs: Sequence[Certified]) -> None:
    for dataset in sorted({run.about["dataset"] for run in runs}):
        here = [run for run in runs if run.about["dataset"] == dataset]
        grid = _grid(readable_certificates(certificate_rows(here), unit(here)))
        print(f"{dataset}\n{tabulate(grid, 'keys', 'simple', disable_numparse=True)}")
    print(f"\n{fill(NOTES, 120)}")
    _say_stand_in(runs)


def _say_stand_in(runs: Sequence[Run] | Sequence[Certified]) -> None:
    if any(run.about["stand_in"] for run in runs):
        print("These clips are a stand-in, not the paper's NTU RGB+D or Kinetics.")


def _name(run: Run) -> str:
    choices = run.about["choices"]
    return f"{choices['attack']} on {choices['model']} ({run.about['identity']})"


def main() -> None:
    """Write the tables of all finished runs below a folder."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.tables", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="outputs/runs", type=Path, help="folder of the runs")
    parser.add_argument("--out", default="outputs/tables", type=Path, help="folder of the tables")
    parser.add_argument("--skip-unfinished", action="store_true", help="leave out runs that have not ended")
    arguments = parser.parse_args()
    try:
        runs = load_runs(arguments.runs, arguments.skip_unfinished)
        certified = find_certified(arguments.runs, arguments.skip_unfinished)
        if not runs and not certified:
            raise RunError(f"{arguments.runs} holds no finished run: make one with python -m skeleton_adv")
        paths = write_all(runs, arguments.out) + write_certified(certified, arguments.out)
        if not paths:
            raise RunError(
                f"{arguments.runs} holds nothing that a table shows: no certificates, and no C&W or ADMM but for films "
                "(python -m skeleton_adv.figures)"
            )
        for path in paths:
            print(path)
        for run in (run for run in runs if not any(table.belongs(run) for table in TABLES)):
            print(f"in no table: {deed(run)} ({run.folder})", file=sys.stderr)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
