"""Records -> the paper's tables as Markdown, LaTeX and CSV: ``python -m skeleton_adv.tables``."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from skeleton_adv.errors import RunError, UserError
from skeleton_adv.summary import Rate, Run, find_runs, load_run, measures, rates
from skeleton_adv.table1 import BETAS, NOTES, belongs, readable, table1, title

LATEX = str.maketrans({"β": r"$\beta$", "Δ": r"$\Delta$", "ℓ": r"$\ell$"})


def write(runs: Sequence[Run], out: Path) -> list[Path]:
    """Write Table 1 of one dataset as Markdown, LaTeX and CSV; return the files."""
    runs = [run for run in runs if belongs(run)]
    frame = table1(runs)
    cells = {str(name): column.tolist() for name, column in readable(frame).items()}
    commands = _commands(runs)
    folder = out / runs[0].about["dataset"]
    without = sum(run.records["kinetic"].isna().sum() for run in runs)
    notes = NOTES + (f" {without} clips without motion are left out of ΔK/K." if without else "")
    markdown = "\n".join(
        [f"# {title(runs)}", "", tabulate(cells, "keys", "pipe", disable_numparse=True), "", notes, ""]
        + ["Made by:", "", *(f"    {command}" for command in commands), ""]
    )
    latex = "\n".join([f"% {title(runs)}", tabulate(cells, "keys", "latex_booktabs", disable_numparse=True), ""])
    latex = latex.translate(LATEX)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"md": markdown, "tex": latex, "csv": frame.to_csv(index=False, float_format="%.6g")}
    return [_atomically(folder / f"table1.{kind}", text) for kind, text in contents.items()]


def write_all(runs: Sequence[Run], out: Path) -> list[Path]:
    """Write Table 1 of every dataset among the runs, each in a folder of its own."""
    runs = [run for run in runs if belongs(run)]
    names = sorted({run.about["dataset"] for run in runs})
    return [path for name in names for path in write([run for run in runs if run.about["dataset"] == name], out)]


def _commands(runs: Sequence[Run]) -> list[str]:
    """The commands that made these runs; one for a whole grid of beta and goal that an experiment swept."""
    grids: dict[str, list[Run]] = {}
    for run in runs:
        words = run.about["command"].split()
        grids.setdefault(" ".join(w for w in words if not w.startswith(("attack.beta=", "targeted="))), []).append(run)
    whole = {(beta, targeted) for beta in BETAS for targeted in (False, True)}
    commands: set[str] = set()
    for command, group in grids.items():
        cells = {(float(run.attack["beta"]), bool(run.about["settings"]["targeted"])) for run in group}
        swept = "experiment=" in command and cells == whole
        commands |= {command} if swept else {run.about["command"] for run in group}
    return sorted(commands)


def _atomically(path: Path, text: str) -> Path:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
    return path


def report(folders: Iterable[Path], experiment: str | None, out: Path) -> None:
    """Show finished runs on the screen, with their files; write the experiment's table."""
    folders = list(dict.fromkeys(folders))
    runs = [run for folder in folders if (run := load_run(folder)) is not None]
    rows = []
    for run in runs:
        rate = rates(run)
        values = measures(run)
        beta = run.attack.get("beta")
        rows.append(
            {
                "dataset": run.about["dataset"],
                "victim": run.about["choices"]["model"],
                "attack": run.about["choices"]["attack"] + (f" β={beta:g}" if beta is not None else ""),
                "goal": "targeted" if run.about["settings"]["targeted"] else "untargeted",
                "T": run.about["num_frames"],
                "clips": f"{run.about['done']} of {run.about['total']}",
                "clean %": _share(rate["clean_accuracy"]),
                "success %": _share(rate["success"]),
                "feasible %": _share(rate["feasible_success"]),
                "ΔB/B %": f"{100 * values['bone']:.2f}",
                "ΔJ rad": f"{values['angle']:.3f}",
                "ΔK/K %": f"{100 * values['kinetic']:.2f}",
                "ℓ2 m": f"{values['l2']:.3f}",
                "rms mm": f"{values['rms_mm']:.2f}",
            }
        )
    print(tabulate(rows, "keys", "simple", disable_numparse=True))
    print("\n[..]: 95 % Wilson interval. feasible: successful, and no bone, angle or speed exceeds its tolerance.")
    print("Camera space, metres; rms mm: a joint and frame.")
    if any(run.about["stand_in"] for run in runs):
        print("These clips are a stand-in, not the paper's NTU RGB+D.")
    for folder in folders:
        print(f"records: {folder}/records.csv")
    if experiment == "table1":
        for path in write_all(runs, out):
            print(f"table:   {path}")


def _share(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * rate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}] ({rate.hits}/{rate.count})"


def main() -> None:
    """Write the tables of all finished runs below a folder."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.tables", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="outputs/runs", type=Path, help="folder of the runs")
    parser.add_argument("--out", default="outputs/tables", type=Path, help="folder of the tables")
    parser.add_argument("--skip-unfinished", action="store_true", help="leave out runs that have not ended")
    arguments = parser.parse_args()
    try:
        folders = find_runs(arguments.runs)
        if not folders:
            raise RunError(f"{arguments.runs} holds no run: make one with python -m skeleton_adv")
        loaded = [load_run(folder, required=not arguments.skip_unfinished) for folder in folders]
        for path in write_all([run for run in loaded if run is not None], arguments.out):
            print(path)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
