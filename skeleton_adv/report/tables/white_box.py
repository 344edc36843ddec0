"""Tables 1, 3 and 5: white-box attacks, the paper's cells beside ours. Pure functions of records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skeleton_adv.report.stats import Run, differences, measures, not_diverged
from skeleton_adv.report.words import (
    ADMM,
    IMAGE_SETS,
    PAPER,
    PAPER_MODELS,
    about_victims,
    interval,
    lengths,
    maxima,
    network,
    number,
    one_dataset,
    paper_split,
    percent,
    rate_columns,
    setting,
    to_be_shown,
    training,
    where,
)

OWN_KEYS = ("attack.beta", "targeted", "target")  # the rows show these themselves
NOTES = (
    "Success is over all clips, as in the paper; "
    "targeted, clips whose label is the target are left out. First right: clips that the victim classified rightly "
    "before. Feasible: no bone, angle estimate or speed exceeds its tolerance in any frame. ΔB/B, ΔJ, ΔS/S, ΔK/K: "
    "means over a clip's entries, then over clips; max: the per-clip maximum, mean / median over clips. True angle: "
    "mean change of the angle itself. rms mm: ℓ2 as root mean square a joint and frame."
)


@dataclass(frozen=True)
class WhiteBox:
    """A table of white-box attacks: which runs are its own, and which grid the paper ran."""

    name: str
    heading: str
    attacks: tuple[str, ...]
    betas: tuple[float | None, ...]
    swept: tuple[str, ...] = ("attack.beta", "targeted")
    image: bool | None = False  # of joints in an image; None: of either

    def belongs(self, run: Run) -> bool:
        """Whether a run is this table's; a few clips that were made to be shown are not."""
        choices = run.about["choices"]
        white = choices["defense"] == "none" and not choices.get("model@surrogate")
        own = white and choices["attack"] in self.attacks and not to_be_shown(run)
        return own and self.fits(run.about["dataset"])

    def fits(self, dataset: str) -> bool:
        """Whether the table is of such a dataset."""
        return self.image in (None, dataset in IMAGE_SETS)

    def rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        """The table, a row for each of its runs on one dataset and for each cell of the paper's grid that was not run.

        Columns ``paper_*`` are the paper's cells; rates are fractions, lengths in the clips' own unit,
        angles radians.
        """
        runs = [run for run in runs if self.belongs(run)]
        one_dataset(self.heading, runs)
        found: list[dict[str, Any]] = []
        covered = set()
        for run, apart in zip(runs, differences(runs, OWN_KEYS), strict=True):
            found.append(self._row(run) | {"differs": apart})
            if not found[-1]["trained_noise"]:  # the paper trained none of these with noise
                covered.add(tuple(found[-1][name] for name in ("setting", "model", "attack", "beta")))
        for victim, attack in sorted({(run.about["choices"]["model"], run.about["choices"]["attack"]) for run in runs}):
            for goal in ("untargeted", "targeted"):
                for beta in self.betas:
                    if (goal, victim, attack, beta) not in covered:
                        empty = {"setting": goal, "model": victim, "attack": attack, "beta": beta, "clips": 0}
                        found.append(empty | self._paper_cells(goal, victim, paper_split(runs), beta))
        if not found:
            return pd.DataFrame()
        frame = pd.DataFrame(found).assign(dataset=runs[0].about["dataset"])
        frame["order"] = frame["setting"] != "untargeted"
        return frame.sort_values(["order", "model", "attack", "beta"], ignore_index=True, kind="stable").drop(
            columns="order"
        )

    def readable(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table as people read it: percentages with intervals, the paper's cell before ours."""
        length, rms = lengths(frame)
        shown_rows = []
        for _, row in frame.iterrows():
            paper = row.get("paper_note") if isinstance(row.get("paper_note"), str) else None
            target = f", {row['target']}" if isinstance(row.get("target"), str) and row["target"] else ""
            lead = {"setting": row["setting"] + target, "victim": network(row), "attack": row["attack"]}
            lead |= {"β": f"{row['beta']:g}"} if pd.notna(row["beta"]) else {}
            success = paper or f"{100 * row['paper_success']:.1f}"
            if not row["clips"]:
                shown_rows.append(lead | {"clips": "not run", "success: paper": success})
                continue
            shown_rows.append(lead | _measured(row, success, length, rms))
        shown = pd.DataFrame(shown_rows).fillna("")
        return shown.loc[:, (shown != "").any(axis=0)]

    def title(self, runs: Sequence[Run]) -> str:
        """What was measured, where, and in which space."""
        return f"{self.heading}, white box, {where(runs)}"

    def notes(self, runs: Sequence[Run]) -> str:
        """What a reader must know about the columns and the victims."""
        text = about_victims(runs) + NOTES
        if runs[0].about["dataset"] in IMAGE_SETS:
            text = text.replace("rms mm: ℓ2 as root mean square", "rms ‰: ℓ2 as rms, thousandths of the image,")
        without = set()
        for run in runs:
            still = not_diverged(run).query("kinetic.isna()")["index"]
            without |= {(run.about["settings"].get("prepared"), clip) for clip in still}
        return text + (f" Clips without motion, left out of ΔK/K: {len(without)}." if without else "")

    def whole(self, runs: Sequence[Run]) -> bool:
        """Whether these runs are the paper's whole grid."""
        cells = {(run.attack.get("beta"), bool(run.about["settings"]["targeted"])) for run in runs}
        return cells == {(beta, targeted) for beta in self.betas for targeted in (False, True)}

    def _row(self, run: Run) -> dict[str, Any]:
        about = run.about
        row: dict[str, Any] = {
            "setting": setting(run),
            "model": about["choices"]["model"],
            **training(run),
            "attack": about["choices"]["attack"],
            "beta": run.attack.get("beta"),
            "target": about["settings"]["target"] or "",
            "conf": run.attack.get("conf"),
            "clips": about["done"],
            "test_clips": about["total"],
        }
        row |= rate_columns(run) | measures(run) | {"run": about["identity"]}
        if row["trained_noise"]:
            return row | {"paper_note": "not in the paper"}
        return row | self._paper_cells(row["setting"], row["model"], paper_split([run]), row["beta"])

    def _paper_cells(self, goal: str, model: str, split: str, beta: float | None) -> dict[str, Any]:
        """The paper's cells for a row, in our units; a missing one is not in the source or not in the paper."""
        paper = pd.read_csv(PAPER / f"{self.name}.csv")
        same = (paper["setting"] == goal) & (paper["model"] == PAPER_MODELS.get(model, model))
        if not self.image:
            same &= paper["split"] == split
        if "beta" in paper:
            same &= paper["beta"] == beta
        if not same.any():
            known = beta in self.betas and PAPER_MODELS.get(model) in set(paper["model"])
            known &= split in set(paper.get("split", [split]))
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


def _measured(row: pd.Series, success: str, length: str, rms: str) -> dict[str, str]:
    """A row's own cells; ``success`` is the paper's, lengths are in units of ``length`` and ``rms``."""
    return {
        "clips": f"{row['clips']:.0f} of {row['test_clips']:.0f}",
        "clean accuracy": interval(row, "clean_accuracy"),
        "success: paper": success,
        "success: ours": interval(row, "success"),
        "success if first right": interval(row, "success_if_right"),
        "feasible success": interval(row, "feasible_success"),
        "feasible if first right": interval(row, "feasible_success_if_right"),
        "ΔB/B %: paper": percent(row, "paper_bone"),
        "ΔB/B %: ours": percent(row, "bone"),
        "ΔB/B % max": maxima(row, "bone", 100),
        "ΔJ rad: paper": number(row, "paper_angle"),
        "ΔJ rad: ours": number(row, "angle"),
        "ΔJ rad max": maxima(row, "angle"),
        "true angle rad": number(row, "true_angle"),
        "ΔS/S %": percent(row, "speed"),
        "ΔS/S % max": maxima(row, "speed", 100),
        "ΔK/K %: paper": percent(row, "paper_kinetic"),
        "ΔK/K %: ours": percent(row, "kinetic"),
        f"{length}: paper": number(row, "paper_l2"),
        f"{length}: ours": number(row, "l2"),
        rms: f"{row['rms_mm']:.2f}",
        "differs": row["differs"],
    }


TABLE1 = WhiteBox("table1", "Table 1: ADMM attack", ADMM, (0.1, 1.0, 10.0))
TABLE3 = WhiteBox("table3", "Table 3: C&W attack", ("cw",), (None,), ("attack", "targeted"), image=None)
TABLE5 = WhiteBox("table5", "Table 5: ADMM attack", ADMM, (0.1, 1.0, 10.0), image=True)
