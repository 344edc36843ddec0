"""Table 4: a defended victim under attacks that do and do not know of the defense. Pure functions of records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skeleton_adv.cells import (
    ADMM,
    PAPER,
    PAPER_MODELS,
    about_victims,
    interval,
    number,
    one_dataset,
    paper_split,
    rate_columns,
    setting,
    where,
)
from skeleton_adv.summary import Run, differences, measures

# One row holds both kinds of attack; these settings tell which.
KINDS = {False: "unaware", True: "adaptive"}
OWN_KEYS = ("attack.beta", "targeted", "target", "adaptive", "defense.sigma", "defense.draws")  # the rows show these


@dataclass(frozen=True)
class Defended:
    """Accuracy under attack, of attacks on the bare network (the paper's) and on the defended one."""

    name: str = "table4"
    heading: str = "Table 4: defense by noise and temporal filter"
    swept: tuple[str, ...] = ("targeted", "adaptive", "defense.sigma")

    def fits(self, dataset: str) -> bool:
        """Of any dataset."""
        return True

    def belongs(self, run: Run) -> bool:
        """Whether a run is ADMM against a defended victim."""
        choices = run.about["choices"]
        return choices["defense"] != "none" and not choices.get("model@surrogate") and choices["attack"] in ADMM

    def rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        """A row for each victim, defense and attack, with the columns of both kinds of attack."""
        runs = [run for run in runs if self.belongs(run)]
        one_dataset(self.heading, runs)
        found: dict[str, dict[str, Any]] = {}
        for run, apart in zip(runs, differences(runs, OWN_KEYS), strict=True):
            settings = {k: v for k, v in run.about["settings"].items() if k != "adaptive"}
            row = found.setdefault(json.dumps(settings, sort_keys=True), _lead(run) | {"differs": apart})
            kind = KINDS[bool(run.about["settings"]["adaptive"])]
            values = rate_columns(run) | measures(run) | {"clips": run.about["done"], "run": run.about["identity"]}
            row |= {f"{kind}_{name}": value for name, value in values.items()}
        order = ["setting", "model", "defense", "sigma", "beta"]
        ascending = [False, True, True, True, True]
        return pd.DataFrame(list(found.values())).sort_values(order, ascending=ascending, ignore_index=True)

    def readable(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table as people read it: percentages with intervals."""
        shown_rows = []
        for _, row in frame.iterrows():
            shown = {
                "setting": row["setting"] + (f", {row['target']}" if row["target"] else ""),
                "victim": row["model"],
                "defense": row["defense"],
                "σ m": f"{row['sigma']:g}",
                "looks": f"{row['draws']:.0f}",
                "β": f"{row['beta']:g}",
                "accuracy: paper": number(row, "paper_accuracy", ".1f", 100),
            }
            for kind in KINDS.values():
                if pd.notna(row.get(f"{kind}_clips")):
                    shown |= {
                        f"{kind}: clips": f"{row[f'{kind}_clips']:.0f} of {row['test_clips']:.0f}",
                        f"{kind}: clean accuracy": interval(row, f"{kind}_clean_accuracy"),
                        f"{kind}: accuracy": interval(row, f"{kind}_adv_accuracy"),
                        f"{kind}: success": interval(row, f"{kind}_success"),
                        f"{kind}: ℓ2": number(row, f"{kind}_l2"),
                        f"{kind}: ΔB/B %": number(row, f"{kind}_bone", ".2f", 100),
                    }
            shown_rows.append(shown | {"differs": row["differs"]})
        shown_frame = pd.DataFrame(shown_rows).fillna("")
        return shown_frame.loc[:, (shown_frame != "").any(axis=0)]

    def title(self, runs: Sequence[Run]) -> str:
        """What was measured, and where."""
        return f"{self.heading}, {where(runs)}"

    def notes(self, runs: Sequence[Run]) -> str:
        """What a reader must know about the columns."""
        eot = sorted({run.about["settings"]["defense"].get("eot", 1) for run in runs})
        asked = sorted({int(run.records["judgements"].max()) for run in runs})
        return about_victims(runs) + (
            "Accuracy is that of the defended victim, clean and under attack. Unaware: made on the undefended network, "
            f"as in the paper. Adaptive: made on the defended one, by the mean logits of {_text(eot)} fresh looks a "
            f"step. Each clip is judged {_text(asked)} times with fresh noise and counts by the share."
        )

    def whole(self, runs: Sequence[Run]) -> bool:
        """Whether these runs are all that the experiment makes for one victim."""
        cells = {(s["targeted"], s["adaptive"], s["defense"].get("sigma")) for s in (r.about["settings"] for r in runs)}
        return cells == {(t, a, sigma) for t in (False, True) for a in (False, True) for sigma in (0.01, 0.02)}


def _text(values: Sequence[int]) -> str:
    return " or ".join(map(str, values))


def _lead(run: Run) -> dict[str, Any]:
    about, defense = run.about, run.about["settings"]["defense"]
    row = {
        "setting": setting(run),
        "target": about["settings"]["target"] or "",
        "model": about["choices"]["model"],
        "defense": about["choices"]["defense"],
        "sigma": defense.get("sigma"),
        "taps": defense.get("taps"),
        "draws": defense.get("draws") if defense.get("sigma") else 1,
        "beta": run.attack["beta"],
        "test_clips": about["total"],
    }
    paper = pd.read_csv(PAPER / "table4.csv")
    same = (paper["model"] == PAPER_MODELS.get(row["model"])) & (paper["setting"] == row["setting"])
    same &= (paper["split"] == paper_split([run])) & (paper["sigma"] == row["sigma"])
    if same.any() and row["defense"] == "noise_filter":
        row["paper_accuracy"] = paper[same].iloc[0]["accuracy"] / 100
    return row


TABLE4 = Defended()
