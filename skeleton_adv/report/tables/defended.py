"""Table 4: a defended victim under attacks that do and do not know of the defense. Pure functions of records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skeleton_adv.report.stats import Run, differences, measures
from skeleton_adv.report.words import (
    ADMM,
    PAPER,
    PAPER_MODELS,
    about_victims,
    interval,
    lengths,
    network,
    number,
    one_dataset,
    paper_split,
    rate_columns,
    setting,
    to_be_shown,
    training,
    where,
)

# One row holds both kinds of attack; these settings tell which.
KINDS = {False: "unaware", True: "adaptive"}
# The rows show these.
OWN_KEYS = (
    *("attack.beta", "attack.norm", "attack.eps", "targeted", "target"),
    *("adaptive", "defense.sigma", "defense.draws"),
)


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
        """Whether a run is an attack on a defended victim, by whichever method; the paper's is ADMM."""
        choices = run.about["choices"]
        made_here = not choices.get("model@surrogate") and "path" not in run.attack
        return choices["defense"] != "none" and made_here and not to_be_shown(run)

    def rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        """A row for each victim, defense and attack, with the columns of both kinds of attack."""
        runs = [run for run in runs if self.belongs(run)]
        one_dataset(self.heading, runs)
        found: dict[str, dict[str, Any]] = {}
        for run, apart in zip(runs, differences(runs, OWN_KEYS), strict=True):
            settings = {name: value for name, value in run.about["settings"].items() if name != "adaptive"}
            options = [run.about["choices"][group] for group in ("model", "defense", "attack")]
            alike = json.dumps([options, settings], sort_keys=True)
            row = found.setdefault(alike, _lead(run) | {"differs": apart})
            kind = KINDS[bool(run.about["settings"]["adaptive"])]
            values = rate_columns(run) | measures(run) | {"clips": run.about["done"], "run": run.about["identity"]}
            row |= {f"{kind}_{name}": value for name, value in values.items()}
        order = ["setting", "model", "defense", "sigma", "attack", "beta", "eps"]
        ascending = [name != "setting" for name in order]
        return pd.DataFrame(list(found.values())).sort_values(order, ascending=ascending, ignore_index=True)

    def readable(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table as people read it: percentages with intervals."""
        length, rms = lengths(frame)
        metres = "σ m" if length.endswith(" m") else "σ"
        shown_rows = []
        for _, row in frame.iterrows():
            shown = {
                "setting": row["setting"] + (f", {row['target']}" if row["target"] else ""),
                "victim": network(row),
                "defense": row["defense"],
                metres: number(row, "sigma", "g"),
                "looks": number(row, "draws", ".0f"),
                "attack": row["attack"] + (f" {row['norm']}" if isinstance(row["norm"], str) else ""),
                "β": number(row, "beta", "g"),
                "ε": number(row, "eps", "g"),
                "accuracy: paper": number(row, "paper_accuracy", ".1f", 100),
            }
            for kind in KINDS.values():
                if pd.notna(row.get(f"{kind}_clips")):
                    shown |= {
                        f"{kind}: clips": f"{row[f'{kind}_clips']:.0f} of {row['test_clips']:.0f}",
                        f"{kind}: clean accuracy": interval(row, f"{kind}_clean_accuracy"),
                        f"{kind}: accuracy": interval(row, f"{kind}_adv_accuracy"),
                        f"{kind}: success": interval(row, f"{kind}_success"),
                        f"{kind}: noise of the same ℓ2": interval(row, f"{kind}_noise_success"),
                        f"{kind}: feasible if first right": interval(row, f"{kind}_feasible_success_if_right"),
                        f"{kind}: {length}": number(row, f"{kind}_l2"),
                        f"{kind}: {rms}": number(row, f"{kind}_rms_mm", ".2f"),
                        f"{kind}: ΔB/B %": number(row, f"{kind}_bone", ".2f", 100),
                    }
            shown_rows.append(shown | {"differs": row["differs"]})
        grid = pd.DataFrame(shown_rows).fillna("")
        grid["differs"] = grid.pop("differs")  # last, though the first row may lack columns
        return grid.loc[:, (grid != "").any(axis=0)]

    def title(self, runs: Sequence[Run]) -> str:
        """What was measured, and where."""
        return f"{self.heading}, {where(runs)}"

    def notes(self, runs: Sequence[Run]) -> str:
        """What a reader must know about the columns."""
        defenses = [run.about["settings"]["defense"] for run in runs]
        eot = sorted({defense.get("eot", 1) if defense.get("sigma") else 1 for defense in defenses})
        asked = sorted({int(run.records["judgements"].max()) for run in runs})
        return about_victims(runs) + (
            "Accuracy is that of the defended victim, clean and under attack. Unaware: made on the undefended network, "
            "as in the paper. Adaptive: made on the defended one, by the mean logits of so many fresh looks a step: "
            f"{_text(eot)}. Clips are judged with fresh noise so often: {_text(asked)}; a clip counts by the share. "
            "First right: of the clips that most of these answers got right before. Feasible: no bone, angle estimate "
            "or speed exceeds its tolerance in any frame. Noise of the same ℓ2: success of Gaussian noise with each "
            "adversarial clip's ℓ2, judged once. ΔB/B: mean over a clip's entries, then over clips. rms: ℓ2 "
            "as root mean square a joint and frame."
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
        **training(run),
        "defense": about["choices"]["defense"],
        "sigma": defense.get("sigma"),
        "taps": defense.get("taps"),
        "draws": defense.get("draws") if defense.get("sigma") else 1,
        "attack": about["choices"]["attack"],
        "beta": run.attack.get("beta"),
        "norm": run.attack.get("norm"),
        "eps": run.attack.get("eps"),
        "dataset": about["dataset"],
        "test_clips": about["total"],
    }
    paper = pd.read_csv(PAPER / "table4.csv")
    same = (paper["model"] == PAPER_MODELS.get(row["model"])) & (paper["setting"] == row["setting"])
    same &= (paper["split"] == paper_split([run])) & (paper["sigma"] == row["sigma"])
    theirs = row["defense"] == "noise_filter" and row["attack"] in ADMM  # at these settings, section 6.2
    if same.any() and theirs and not row["trained_noise"] and row["beta"] == 1 and row["draws"] == 50:
        row["paper_accuracy"] = paper[same].iloc[0]["accuracy"] / 100
    return row


TABLE4 = Defended()
