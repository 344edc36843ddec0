"""Transfer: the mean success of each attack over victims that are not surrogates, with paired bootstrap intervals."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from skeleton_adv.report.columns import Column, Item, Row, has
from skeleton_adv.report.paired import Paired, comparable
from skeleton_adv.report.table import FurtherPage
from skeleton_adv.report.words import network_names
from skeleton_adv.runs.load import Run

DRAWS = 10_000  # of the bootstrap
BASELINE = "mi_fgsm_paper"  # the attack with which the others are compared


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per attack and surrogate; all have the same victims and clips."""
    made = [run for run in runs if run.access == "transfer" and run.surrogate and not run.targeted]
    seen = {name for run in made for name in (run.surrogate, *run.members)}
    made = comparable([run for run in made if run.victim not in seen])
    groups: dict[Any, dict[str, Run]] = {}
    for run in made:
        groups.setdefault(_source(run), {})[_victim(run)] = run
    victims = sorted(set.intersection(*({*group} for group in groups.values()))) if groups else []
    if not victims:
        return []
    paired = Paired([group[victim] for group in groups.values() for victim in victims])
    if not paired.right.any():
        return []
    names = network_names(runs, noise=True)["surrogate"]
    shares = {source: _share(paired, [group[victim] for victim in victims]) for source, group in groups.items()}
    found = []
    for source, group in groups.items():
        run = group[victims[0]]
        row = {"attack": run.attack, "surrogate": names(run), "victims": len(victims)}
        row |= {"paired_clips": int(paired.right.sum()), **_interval("transfer_success", shares[source])}
        base = shares.get(_baseline({one: other[victims[0]] for one, other in groups.items()}, run))
        if base is not None and shares[source] is not base:
            row |= _interval("gain", shares[source] - base)
        found.append(row)
    return sorted(found, key=lambda row: -row["transfer_success"])


def _source(run: Run) -> Any:
    """What an attack's clips depend on; equal for runs on the same adversarial clips."""
    own = ("attack", "targeted", "target", "seed", "batch_size", "surrogate", "surrogate_checkpoint", "prepared")
    return repr([run.settings.get(name) for name in own])


def _victim(run: Run) -> str:
    return repr([run.victim, run.weights, run.defense, sorted(run.of_defense.items())])


def _baseline(made: Mapping[Any, Run], run: Run) -> Any:
    """The source of the baseline on the surrogate of a run: on its weights, otherwise on others of the same seed.

    A posterior is fitted to a surrogate's weights, so attacks that draw from it have other weights.
    """
    name = (run.surrogate, run.members)
    same = {key: one for key, one in made.items() if one.attack == BASELINE and (one.surrogate, one.members) == name}
    for key, one in same.items():
        if one.surrogate_weights == run.surrogate_weights:
            return key
    seed = run.seeds.get("surrogate")
    return next((key for key, one in same.items() if one.seeds.get("surrogate") == seed), None)


def _share(paired: Paired, runs: Sequence[Run]) -> np.ndarray:
    """(n,) per clip that all victims classify correctly: the share of the victims that the attack fools."""
    share: np.ndarray = np.mean([paired.succeeded(run)[paired.right] for run in runs], axis=0)
    return share


def _interval(key: str, values: np.ndarray) -> dict[str, float]:
    """The mean of values (n,) over clips, and its 95 % interval by the bootstrap over clips."""
    drawn = _weights(len(values)) @ values
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {key: float(values.mean()), f"{key}_low": float(low), f"{key}_high": float(high)}


@cache
def _weights(clips: int) -> np.ndarray:
    """(draws, n) the weight of each clip in each draw; the same for all attacks, so that differences are paired."""
    rng = np.random.Generator(np.random.PCG64(0))
    weights: np.ndarray = rng.multinomial(clips, np.full(clips, 1 / clips), size=DRAWS) / clips
    return weights


def _cell(row: Row, key: str) -> str:
    if not has(row, key):
        return ""
    value, low, high = (100 * row[name] for name in (key, f"{key}_low", f"{key}_high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _columns(runs: Sequence[Run]) -> list[Item]:
    return [
        *(Column("attack", "attack"), Column("surrogate", "made on"), Column("victims", "victims")),
        *(Column("paired_clips", "clips"), Column("transfer_success", "mean success, %", show=_cell)),
        Column("gain", f"gain over {BASELINE}, points", show=_cell),
    ]


TRANSFER = FurtherPage(
    name="_transfer",
    heading="Transfer: mean success over the victims that no row uses as a surrogate, on the clips that all of them "
    "classify correctly before, with 95 % intervals from a paired bootstrap over clips:",
    rows=rows,
    columns=_columns,
)
