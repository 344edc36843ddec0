"""How much the success of attacks varies between trainings of one network with other seeds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skeleton_adv.report.columns import Column, Row, number_cell
from skeleton_adv.report.stats import attack_rate, flatten
from skeleton_adv.report.table import FurtherPage
from skeleton_adv.report.words import training_summary
from skeleton_adv.runs.load import Run

Group = dict[str, dict[int, float]]  # name of an attack -> seed of the training -> success


def rows(runs: Sequence[Run], names: Sequence[str]) -> list[dict[str, Any]]:
    """One row per attack on a network that several seeds trained; ``names`` are those of the runs' attacks.

    Success is within the threat model, on clips that are correct before. Ranks compare the attacks of each training
    that ran on all of them: 1 is the highest success, and equal attacks share a rank.
    """
    groups: dict[Any, Group] = {}
    for run, attack in zip(runs, names, strict=True):
        seed = run.seeds.get("model")
        if seed is not None and not run.surrogate:
            success = attack_rate(run, "success_share", right_only=True, feasible=True).value
            groups.setdefault(_network(run), {}).setdefault(attack, {})[seed] = success
    found = []
    for network, group in groups.items():
        most = max(len(by_seed) for by_seed in group.values())
        whole = {attack: by_seed for attack, by_seed in group.items() if len(by_seed) == most > 1}
        found += [_row(network[:2], attack, whole) for attack in whole]
    return sorted(found, key=lambda row: (row["model"], -row["mean_success"]))


def _network(run: Run) -> Any:
    """The architecture, its defense, training and data: all but the seed."""
    own = (*flatten(run.of_defense).items(), run.prepared, run.num_frames, run.targeted, len(run.records))
    return run.victim, run.defense, training_summary(run), run.trained_noise, repr(own)


def _row(network: tuple[str, str | None], attack: str, group: Group) -> dict[str, Any]:
    success = group[attack]
    ranks = [1 + sum(other[seed] > value for other in group.values()) for seed, value in sorted(success.items())]
    values = np.array([*success.values()])
    row: dict[str, Any] = {"model": network[0], "defense": network[1], "attack": attack, "trainings": len(success)}
    row |= {"mean_success": float(values.mean()), "lowest": float(values.min()), "highest": float(values.max())}
    return row | {"ranks": " ".join(map(str, ranks))}


def _spread(row: Row, key: str) -> str:
    return f"{100 * row['lowest']:.1f} to {100 * row['highest']:.1f}"


def page(names: Callable[[Sequence[Run]], Sequence[str]]) -> FurtherPage:
    """The page of a table that gives the attacks of its runs these names."""
    return FurtherPage(
        name="_trainings",
        heading="Attacks on several trainings of one network, which differ in their seed: the mean success within the "
        "threat model on clips that are correct before, its range over the trainings, and the rank of the attack on "
        "each training, in the order of the seeds (1: the highest success; equal attacks share a rank):",
        rows=lambda runs: rows(runs, names(runs)),
        columns=lambda runs: (
            Column("model", "victim"),
            Column("defense", "defense"),
            Column("attack", "attack"),
            Column("trainings", "trainings"),
            Column("mean_success", "mean success, %", show=number_cell(".1f", 100)),
            Column("lowest", "range, %", show=_spread),
            Column("ranks", "ranks"),
        ),
    )
