"""Records -> the paper's tables as Markdown, LaTeX and CSV: ``python -m skeleton_adv.tables``."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from skeleton_adv.errors import RunError, UserError
from skeleton_adv.summary import Rate, Run, differences, find_runs, load_run, measures, rates

PAPER = Path(__file__).parent / "paper"
PAPER_MODELS = {"hcn": "hcn", "agcn": "2s-agcn"}
PAPER_SETS = {"ntu60_cv": "CV", "ntu60_cs": "CS", "synthetic_cv": "CV"}
BETAS = (0.1, 1.0, 10.0)
OWN_KEYS = ("attack.beta", "targeted", "target")  # what Table 1's rows vary by design


def table1(runs: Sequence[Run]) -> pd.DataFrame:
    """Table 1, a row for each run on one dataset and for each cell of the paper's grid that was not run.

    Columns ``paper_*`` are the paper's cells; rates are fractions, lengths metres, angles radians.
    """
    runs = [run for run in runs if _is_table1(run)]
    rows, covered = [], set()
    for victim, attack in sorted({(run.about["choices"]["model"], run.about["choices"]["attack"]) for run in runs}):
        group = [
            run for run in runs if run.about["choices"]["model"] == victim and run.about["choices"]["attack"] == attack
        ]
        for run, apart in zip(group, differences(group, OWN_KEYS), strict=True):
            rows.append(_table1_row(run) | {"differs": apart})
            covered.add((rows[-1]["setting"], victim, attack, run.attack["beta"]))
        for setting in ("untargeted", "targeted"):
            for beta in BETAS:
                if (setting, victim, attack, beta) not in covered:
                    empty = {"setting": setting, "model": victim, "attack": attack, "beta": beta, "clips": 0}
                    rows.append(empty | _paper_cells(setting, victim, group[0].about["dataset"], beta))
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows)
    frame["order"] = frame["setting"] != "untargeted"
    return frame.sort_values(["order", "model", "attack", "beta"], ignore_index=True, kind="stable").drop(
        columns="order"
    )


def _is_table1(run: Run) -> bool:
    choices = run.about["choices"]
    return choices["attack"] in ("admm", "admm_released") and choices["defense"] == "none"


def _table1_row(run: Run) -> dict[str, Any]:
    about = run.about
    setting = "targeted" if about["settings"]["targeted"] else "untargeted"
    row: dict[str, Any] = {
        "setting": setting,
        "model": about["choices"]["model"],
        "attack": about["choices"]["attack"],
        "beta": run.attack["beta"],
        "target": about["settings"]["target"],
        "clips": about["done"],
        "test_clips": about["total"],
    }
    for name, rate in rates(run).items():
        low, high = rate.interval
        row |= {name: rate.value, f"{name}_hits": rate.hits, f"{name}_clips": rate.count}
        row |= {f"{name}_low": low, f"{name}_high": high}
    row |= measures(run) | {"run": about["identity"]}
    return row | _paper_cells(setting, row["model"], about["dataset"], row["beta"])


def _paper_cells(setting: str, model: str, dataset: str, beta: float) -> dict[str, Any]:
    """The paper's cells for a row, in our units; a missing one is not in the source or not in the paper."""
    paper = pd.read_csv(PAPER / "table1.csv")
    split = PAPER_SETS.get(dataset, "CS")
    cell = paper[
        (paper["setting"] == setting)
        & (paper["model"] == PAPER_MODELS.get(model, model))
        & (paper["split"] == split)
        & (paper["beta"] == beta)
    ]
    if cell.empty:
        known = model in PAPER_MODELS and beta in BETAS
        return {"paper_note": "not in the source" if known else "not in the paper"}
    found = cell.iloc[0]
    return {
        "paper_split": split,
        "paper_success": found["success_rate"] / 100,
        "paper_bone": found["bone_length"] / 100,
        "paper_angle": found["joint_angle"],
        "paper_kinetic": found["kinetic_energy"] / 100,
        "paper_l2": found["l2"],
    }


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: percentages with intervals, the paper's cell before ours."""
    rows = []
    for _, row in frame.iterrows():
        paper = row.get("paper_note") if isinstance(row.get("paper_note"), str) else None
        lead = {"setting": row["setting"], "victim": row["model"], "attack": row["attack"], "β": f"{row['beta']:g}"}
        success = paper or f"{100 * row['paper_success']:.1f}"
        if not row["clips"]:
            rows.append(lead | {"clips": "not run", "success: paper": success})
            continue
        rows.append(
            lead
            | {
                "clips": f"{row['clips']:.0f} of {row['test_clips']:.0f}",
                "clean accuracy": _interval(row, "clean_accuracy"),
                "success: paper": success,
                "success: ours": _interval(row, "success"),
                "success if first right": _interval(row, "success_if_right"),
                "feasible success": _interval(row, "feasible_success"),
                "feasible if first right": _interval(row, "feasible_success_if_right"),
                "ΔB/B %: paper": _percent(row, "paper_bone"),
                "ΔB/B %: ours": _percent(row, "bone"),
                "ΔB/B % max": _maxima(row, "bone", 100),
                "ΔJ rad: paper": _number(row, "paper_angle"),
                "ΔJ rad: ours": _number(row, "angle"),
                "ΔJ rad max": _maxima(row, "angle"),
                "true angle rad": _number(row, "true_angle"),
                "ΔS/S %": _percent(row, "speed"),
                "ΔS/S % max": _maxima(row, "speed", 100),
                "ΔK/K %: paper": _percent(row, "paper_kinetic"),
                "ΔK/K %: ours": _percent(row, "kinetic"),
                "ℓ2 m: paper": _number(row, "paper_l2"),
                "ℓ2 m: ours": _number(row, "l2"),
                "rms mm": f"{row['rms_mm']:.2f}",
                "differs": row["differs"] or "",
            }
        )
    shown = pd.DataFrame(rows).fillna("")
    return shown.loc[:, (shown != "").any(axis=0)]


def _interval(row: pd.Series, name: str) -> str:
    low, high = (100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{100 * row[name]:.1f} [{low:.1f}, {high:.1f}] ({row[f'{name}_hits']:.0f}/{row[f'{name}_clips']:.0f})"


def _percent(row: pd.Series, name: str) -> str:
    return f"{100 * row[name]:.2f}" if name in row and pd.notna(row[name]) else ""


def _number(row: pd.Series, name: str) -> str:
    return f"{row[name]:.3f}" if name in row and pd.notna(row[name]) else ""


def _maxima(row: pd.Series, name: str, factor: float = 1) -> str:
    mean, median = (factor * row[f"{name}_max_{kind}"] for kind in ("mean", "median"))
    return f"{mean:.3g} / {median:.3g}"


def title(runs: Sequence[Run]) -> str:
    """What was measured, where, and in which space."""
    about = runs[0].about
    stand_in = ", a stand-in for the paper's NTU RGB+D" if about["stand_in"] else ""
    frames = sorted({run.about["num_frames"] for run in runs})
    return (
        f"Table 1: ADMM attack, white box, on {about['dataset']}{stand_in} "
        f"(camera space, metres, T={'/'.join(map(str, frames))}, {about['num_classes']} classes)"
    )


LATEX = str.maketrans({"β": r"$\beta$", "Δ": r"$\Delta$", "ℓ": r"$\ell$"})
NOTES = (
    "Rates are percentages with 95 % Wilson intervals and counts. Success is over all clips, as in the paper; "
    "targeted, clips whose label is the target are left out. First right: clips that the victim classified rightly "
    "before. Feasible: no bone, angle estimate or speed exceeds its tolerance in any frame. ΔB/B, ΔJ, ΔS/S, ΔK/K: "
    "means over a clip's entries, then over clips; max: the per-clip maximum, mean / median over clips. True angle: "
    "mean change of the angle itself. rms mm: ℓ2 as root mean square a joint and frame."
)


def write(runs: Sequence[Run], out: Path) -> list[Path]:
    """Write Table 1 of one dataset as Markdown, LaTeX and CSV; return the files."""
    frame = table1(runs)
    runs = [run for run in runs if _is_table1(run)]
    cells = {str(name): column.tolist() for name, column in readable(frame).items()}
    commands = sorted({_grid_command(run.about["command"]) for run in runs})
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


def _grid_command(command: str) -> str:
    """A run's command; that of its whole grid if an experiment swept beta and the goal."""
    words = command.split()
    if not any(word.startswith("experiment=") for word in words):
        return command
    return " ".join(word for word in words if not word.startswith(("attack.beta=", "targeted=")))


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
                "clips": f"{run.about['done']} of {run.about['total']}",
                "clean %": _share(rate["clean_accuracy"]),
                "success %": _share(rate["success"]),
                "feasible %": _share(rate["feasible_success"]),
                "ΔB/B %": f"{100 * values['bone']:.2f}",
                "ΔJ rad": f"{values['angle']:.3f}",
                "ΔK/K %": f"{100 * values['kinetic']:.2f}",
                "ℓ2 m": f"{values['l2']:.3f}",
            }
        )
    print(tabulate(rows, "keys", "simple", disable_numparse=True))
    print("\n[..]: 95 % Wilson interval. feasible: successful, and no bone, angle or speed exceeds its tolerance.")
    if any(run.about["stand_in"] for run in runs):
        print("These clips are a stand-in, not the paper's NTU RGB+D.")
    for folder in folders:
        print(f"records: {folder}/records.csv")
    if experiment == "table1":
        for path in write(runs, out):
            print(f"table:   {path}")


def _share(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * rate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


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
        loaded = [load_run(folder, unfinished=not arguments.skip_unfinished) for folder in folders]
        runs = [run for run in loaded if run is not None and _is_table1(run)]
        for dataset in sorted({run.about["dataset"] for run in runs}):
            for path in write([run for run in runs if run.about["dataset"] == dataset], arguments.out):
                print(path)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
