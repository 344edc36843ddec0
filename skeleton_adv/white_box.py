"""Tables 1, 3 and 5: white-box attacks, the paper's cells beside ours. Pure functions of records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from skeleton_adv.errors import RunError
from skeleton_adv.summary import Run, differences, measures, rates

PAPER = Path(__file__).parent / "paper"
PAPER_MODELS = {"hcn": "hcn", "hcn_pytorch": "hcn", "agcn": "2s-agcn", "agcn_small": "2s-agcn"}
PAPER_SETS = {"ntu60_cv": "CV", "ntu60_cs": "CS", "synthetic_cv": "CV"}  # others stand beside CS
IMAGE_SETS = ("kinetics", "synthetic_kinetics")  # joints in an image, without depth
OWN_KEYS = ("attack.beta", "targeted", "target")  # the rows show these themselves


@dataclass(frozen=True)
class PaperTable:
    """A table of white-box attacks: which runs are its own, and which grid the paper ran."""

    name: str
    title: str
    attacks: tuple[str, ...]
    betas: tuple[float | None, ...]
    image: bool | None = False  # of joints in an image; None: of either

    def belongs(self, run: Run) -> bool:
        """Whether a run is this table's."""
        choices = run.about["choices"]
        white = choices["defense"] == "none" and not choices.get("model@surrogate")
        own = white and choices["attack"] in self.attacks
        return own and self.fits(run.about["dataset"])

    def fits(self, dataset: str) -> bool:
        """Whether the table is of such a dataset."""
        return self.image in (None, dataset in IMAGE_SETS)


ADMM = ("admm", "admm_released")
TABLE1 = PaperTable("table1", "Table 1: ADMM attack", ADMM, (0.1, 1.0, 10.0))
TABLE3 = PaperTable("table3", "Table 3: C&W attack", ("cw",), (None,), image=None)
TABLE5 = PaperTable("table5", "Table 5: ADMM attack", ADMM, (0.1, 1.0, 10.0), image=True)
TABLES = (TABLE1, TABLE3, TABLE5)


def rows(table: PaperTable, runs: Sequence[Run]) -> pd.DataFrame:
    """The table, a row for each of its runs on one dataset and for each cell of the paper's grid that was not run.

    Columns ``paper_*`` are the paper's cells; rates are fractions, lengths in the clips' own unit,
    angles radians.
    """
    runs = [run for run in runs if table.belongs(run)]
    if len({run.about["dataset"] for run in runs}) > 1:
        raise RunError(f"{table.title} is of one dataset; these runs are of several")
    found: list[dict[str, Any]] = []
    covered = set()
    for run, apart in zip(runs, differences(runs, OWN_KEYS), strict=True):
        found.append(_row(table, run) | {"differs": apart})
        covered.add(tuple(found[-1][name] for name in ("setting", "model", "attack", "beta")))
    for victim, attack in sorted({(run.about["choices"]["model"], run.about["choices"]["attack"]) for run in runs}):
        for setting in ("untargeted", "targeted"):
            for beta in table.betas:
                if (setting, victim, attack, beta) not in covered:
                    empty = {"setting": setting, "model": victim, "attack": attack, "beta": beta, "clips": 0}
                    found.append(empty | _paper_cells(table, setting, victim, runs[0].about["dataset"], beta))
    if not found:
        return pd.DataFrame()
    frame = pd.DataFrame(found)
    frame["order"] = frame["setting"] != "untargeted"
    return frame.sort_values(["order", "model", "attack", "beta"], ignore_index=True, kind="stable").drop(
        columns="order"
    )


def _row(table: PaperTable, run: Run) -> dict[str, Any]:
    about = run.about
    setting = "targeted" if about["settings"]["targeted"] else "untargeted"
    row: dict[str, Any] = {
        "setting": setting,
        "model": about["choices"]["model"],
        "attack": about["choices"]["attack"],
        "beta": run.attack.get("beta"),
        "target": about["settings"]["target"] or "",
        "conf": run.attack.get("conf"),
        "clips": about["done"],
        "test_clips": about["total"],
    }
    for name, rate in rates(run).items():
        low, high = rate.interval
        row |= {name: rate.value, f"{name}_hits": rate.hits, f"{name}_clips": rate.count}
        row |= {f"{name}_low": low, f"{name}_high": high}
    row |= measures(run) | {"run": about["identity"]}
    return row | _paper_cells(table, setting, row["model"], about["dataset"], row["beta"])


def _paper_cells(table: PaperTable, setting: str, model: str, dataset: str, beta: float | None) -> dict[str, Any]:
    """The paper's cells for a row, in our units; a missing one is not in the source or not in the paper."""
    paper = pd.read_csv(PAPER / f"{table.name}.csv")
    split = _split(dataset)
    same = (paper["setting"] == setting) & (paper["model"] == PAPER_MODELS.get(model, model))
    if table is not TABLE5:
        same &= paper["split"] == split
    if "beta" in paper:
        same &= paper["beta"] == beta
    if not same.any():
        known = beta in table.betas and PAPER_MODELS.get(model) in set(paper["model"])
        return {"paper_note": "not in the source" if known else "not in the paper"}
    found = paper[same].iloc[0]
    return {
        "paper_split": split,
        "paper_success": found["success_rate"] / 100,
        "paper_bone": found["bone_length"] / 100,
        "paper_angle": found["joint_angle"],
        "paper_kinetic": found["kinetic_energy"] / 100,
        "paper_l2": found["l2"],
    }


def _split(dataset: str) -> str:
    """Which of the paper's experiments a dataset stands beside."""
    return "Kinetics" if dataset in IMAGE_SETS else PAPER_SETS.get(dataset, "CS")


def readable(dataset: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: percentages with intervals, the paper's cell before ours."""
    length, rms = ("ℓ2", "rms ‰") if dataset in IMAGE_SETS else ("ℓ2 m", "rms mm")
    shown_rows = []
    for _, row in frame.iterrows():
        paper = row.get("paper_note") if isinstance(row.get("paper_note"), str) else None
        target = f", {row['target']}" if isinstance(row.get("target"), str) and row["target"] else ""
        lead = {"setting": row["setting"] + target, "victim": row["model"], "attack": row["attack"]}
        lead |= {"β": f"{row['beta']:g}"} if pd.notna(row["beta"]) else {}
        success = paper or f"{100 * row['paper_success']:.1f}"
        if not row["clips"]:
            shown_rows.append(lead | {"clips": "not run", "success: paper": success})
            continue
        shown_rows.append(
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
                f"{length}: paper": _number(row, "paper_l2"),
                f"{length}: ours": _number(row, "l2"),
                rms: f"{row['rms_mm']:.2f}",
                "differs": row["differs"],
            }
        )
    shown = pd.DataFrame(shown_rows).fillna("")
    return shown.loc[:, (shown != "").any(axis=0)]


def _interval(row: pd.Series, name: str) -> str:
    low, high = (100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{100 * row[name]:.1f} [{low:.1f}, {high:.1f}] ({row[f'{name}_hits']:.4g}/{row[f'{name}_clips']:.0f})"


def _percent(row: pd.Series, name: str) -> str:
    return f"{100 * row[name]:.2f}" if name in row and pd.notna(row[name]) else ""


def _number(row: pd.Series, name: str) -> str:
    return f"{row[name]:.3f}" if name in row and pd.notna(row[name]) else ""


def _maxima(row: pd.Series, name: str, factor: float = 1) -> str:
    mean, median = (factor * row[f"{name}_max_{kind}"] for kind in ("mean", "median"))
    return f"{mean:.3g} / {median:.3g}"


def title(table: PaperTable, runs: Sequence[Run]) -> str:
    """What was measured, where, and in which space."""
    about = runs[0].about
    image = about["dataset"] in IMAGE_SETS
    original = "Kinetics" if image else "NTU RGB+D"
    stand_in = f", a stand-in for the paper's {original}" if about["stand_in"] else ""
    spaces = sorted({run.about["settings"].get("dataset", {}).get("space", "camera") for run in runs})
    space = "normalised image coordinates" if image else f"{' or '.join(spaces)} space, metres"
    shapes = {run.about["choices"]["model"]: set() for run in runs}  # type: dict[str, set[str]]
    for run in runs:
        shape = f"T={run.about['num_frames']}, {run.about['num_classes']} classes"
        shapes[run.about["choices"]["model"]].add(shape)
    alike = len(set().union(*shapes.values())) == 1
    words = [
        " or ".join(sorted(shape)) if alike else f"{name}: {' or '.join(sorted(shape))}"
        for name, shape in sorted(shapes.items())
    ]
    conf = "/".join(f"{value:g}" for value in sorted({run.attack["conf"] for run in runs}))
    inside = "; ".join([space, *dict.fromkeys(words), f"confidence {conf}"])
    return f"{table.title}, white box, on {about['dataset']}{stand_in} ({inside})"


def notes(runs: Sequence[Run]) -> str:
    """What a reader must know about the columns and the victims."""
    dataset = runs[0].about["dataset"]
    split = {"CS": "NTU RGB+D, cross-subject", "CV": "NTU RGB+D, cross-view"}.get(_split(dataset), "Kinetics")
    text = NOTES.replace("PAPER", split)
    if dataset in IMAGE_SETS:
        text = text.replace(
            "rms mm: ℓ2 as root mean square", "rms ‰: ℓ2 as root mean square, thousandths of the image,"
        )
    if any(run.about["choices"]["model"] == "agcn_small" for run in runs):
        text += (
            " agcn_small: 2s-AGCN with a quarter of its channels (16, 32, 64); the paper's cells are of the full one."
        )
    without = sum(run.records["kinetic"].isna().sum() for run in runs)
    return text + (f" {without} clips without motion are left out of ΔK/K." if without else "")


NOTES = (
    "Paper: Zheng et al. on PAPER. "
    "Rates are percentages with 95 % Wilson intervals and counts. Success is over all clips, as in the paper; "
    "targeted, clips whose label is the target are left out. First right: clips that the victim classified rightly "
    "before. Feasible: no bone, angle estimate or speed exceeds its tolerance in any frame. ΔB/B, ΔJ, ΔS/S, ΔK/K: "
    "means over a clip's entries, then over clips; max: the per-clip maximum, mean / median over clips. True angle: "
    "mean change of the angle itself. rms mm: ℓ2 as root mean square a joint and frame."
)
