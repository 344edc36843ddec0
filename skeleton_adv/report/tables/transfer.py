"""Table 2: adversarial clips made on one network, judged by another. Pure functions of records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skeleton_adv.core.errors import RunError
from skeleton_adv.report.stats import Run, differences, measures
from skeleton_adv.report.words import (
    ADMM,
    PAPER,
    PAPER_MODELS,
    about_victims,
    interval,
    lengths,
    number,
    one_dataset,
    paper_split,
    rate_columns,
    setting,
    to_be_shown,
    where,
)

# Of each network its group of options, and where its seed, its digest and its training's noise stand.
ROLES = {
    "source": ("model@surrogate", "surrogate", "surrogate_checkpoint", "surrogate_noise"),
    "target": ("model", "model", "checkpoint", "trained_noise"),
}
# The rows show these themselves; networks by name and seed.
OWN_KEYS = ("attack.beta", "targeted", "checkpoint", "surrogate_checkpoint")


@dataclass(frozen=True)
class Transfer:
    """Success on a target of clips made on a source, for every pair of networks that was run."""

    name: str = "table2"
    heading: str = "Table 2: transfer of the ADMM attack"
    betas: tuple[float, ...] = (0.01, 0.1)
    swept: tuple[str, ...] = ("attack.beta",)

    def fits(self, dataset: str) -> bool:
        """Of any dataset."""
        return True

    def belongs(self, run: Run) -> bool:
        """Whether a run is ADMM on a surrogate, judged by an undefended victim."""
        choices = run.about["choices"]
        made = bool(choices.get("model@surrogate")) and choices["attack"] in ADMM and not to_be_shown(run)
        return made and choices["defense"] == "none"

    def rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        """A row a run. Columns ``paper_*`` are the paper's cells; rates are fractions."""
        runs = [run for run in runs if self.belongs(run)]
        one_dataset(self.heading, runs)
        found, names = [], _names(runs)
        for run, apart in zip(runs, differences(runs, OWN_KEYS), strict=True):
            row: dict[str, Any] = {
                **{role: names[_network(run, role)] for role in ROLES},
                "setting": setting(run),
                "attack": run.about["choices"]["attack"],
                "beta": run.attack["beta"],
                "dataset": run.about["dataset"],
                "clips": run.about["done"],
                "test_clips": run.about["total"],
            }
            row |= rate_columns(run) | measures(run) | {"differs": apart, "run": run.about["identity"]}
            found.append(row | _paper_cell(run))
        order = ["setting", "source", "target", "attack", "beta"]
        return pd.DataFrame(found).sort_values(order, ascending=[False, True, True, True, True], ignore_index=True)

    def readable(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table as people read it."""
        length, rms = lengths(frame)
        shown = pd.DataFrame(
            [
                {
                    "made on": row["source"],
                    "judged by": row["target"],
                    "setting": row["setting"],
                    "attack": row["attack"],
                    "β": f"{row['beta']:g}",
                    "clips": f"{row['clips']:.0f} of {row['test_clips']:.0f}",
                    "clean accuracy": interval(row, "clean_accuracy"),
                    "success on its source": interval(row, "found"),
                    "success: paper": number(row, "paper_success", ".1f", 100),
                    "success: ours": interval(row, "success"),
                    "noise of the same ℓ2": interval(row, "noise_success"),
                    "success if first right": interval(row, "success_if_right"),
                    "feasible if first right": interval(row, "feasible_success_if_right"),
                    length: number(row, "l2"),
                    rms: number(row, "rms_mm", ".2f"),
                    "differs": row["differs"],
                }
                for _, row in frame.iterrows()
            ]
        )
        return shown.loc[:, (shown != "").any(axis=0)]

    def title(self, runs: Sequence[Run]) -> str:
        """What was measured, and where."""
        return f"{self.heading}, {where(runs)}"

    def notes(self, runs: Sequence[Run]) -> str:
        """What a reader must know about the columns."""
        return about_victims(runs) + (
            "Success is the share of all clips that the judging network gets wrong, as in the paper, so its clean "
            "errors count; first right: of the clips that it got right before. On its source: by the attack's own "
            "word, against the network it was made on. s0, s1: seeds of the training; σ: its noise. Noise of the same "
            "ℓ2: success of Gaussian noise with each adversarial clip's ℓ2. rms: ℓ2 as root mean square a joint and "
            "frame."
        )

    def whole(self, runs: Sequence[Run]) -> bool:
        """Whether these runs are all that the experiment makes for one pair of networks."""
        return {run.attack["beta"] for run in runs} == set(self.betas)


def pairs(frame: pd.DataFrame, beta: float) -> pd.DataFrame:
    """The untargeted rows at one beta, one for each source and target."""
    chosen = frame[(frame["beta"] == beta) & (frame["setting"] == "untargeted")].drop_duplicates(
        ["run", "source", "target"]
    )
    double = chosen[chosen.duplicated(["source", "target"], keep=False)]
    if len(double):
        raise RunError(f"runs {' and '.join(double['run'])} are of the same two networks: draw them apart")
    return chosen


def _network(run: Run, role: str) -> tuple[str, str | None]:
    """A network's name with seed and noise of its training, and the digest of its weights."""
    group, seed, weights, noise = ROLES[role]
    name = f"{run.about['choices'][group]} s{run.about['seeds'][seed]}"
    trained = f", σ={run.about[noise]:g}" if run.about.get(noise) else ""
    return name + trained, run.about["settings"].get(weights)


def _names(runs: Sequence[Run]) -> dict[tuple[str, str | None], str]:
    """What each network is called: with its digest where several have one name."""
    networks = {_network(run, role) for run in runs for role in ROLES}
    often = Counter(name for name, _ in networks)
    return {(name, weights): f"{name} ({str(weights)[:8]})" if often[name] > 1 else name for name, weights in networks}


def _paper_cell(run: Run) -> dict[str, Any]:
    paper = pd.read_csv(PAPER / "table2.csv")
    source, target = (PAPER_MODELS.get(run.about["choices"][group]) for group in ("model@surrogate", "model"))
    name = "hcn (second training run)" if target == "hcn" else target
    same = (paper["source"] == source) & (paper["target"] == name) & (paper["split"] == paper_split([run]))
    same &= paper["beta"] == run.attack["beta"]
    itself = _network(run, "source") == _network(run, "target")  # no second training
    noisy = any(run.about.get(noise) for *_, noise in ROLES.values())  # they trained none of these with noise
    known = same.any() and setting(run) == "untargeted" and not itself and not noisy
    return {"paper_success": paper[same].iloc[0]["success_rate"] / 100} if known else {}


TABLE2 = Transfer()
