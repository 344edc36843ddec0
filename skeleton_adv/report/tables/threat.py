"""Attacks under a named threat model: a success counts if the clip is within it."""

from collections.abc import Sequence
from typing import Any

from skeleton_adv.report.columns import (
    ACCESS,
    CLEAN,
    CLIPS,
    DEFENSE,
    FEASIBLE,
    FEASIBLE_IF_RIGHT,
    FEASIBLE_NOTE,
    FORWARDS,
    GOAL,
    GRADIENTS,
    L2,
    METHOD,
    NOISE,
    RMS,
    SUCCESS_IF_RIGHT,
    SURROGATE,
    VICTIM,
    Column,
    Item,
    format_rate,
    rate_cell,
)
from skeleton_adv.report.paired import Paired, by_victim
from skeleton_adv.report.stats import attack_rate
from skeleton_adv.report.table import FurtherPage, Table
from skeleton_adv.report.transferred import TRANSFER
from skeleton_adv.report.words import network_names
from skeleton_adv.runs.load import Run

SEES = ("white box", "adaptive")  # the strongest access: these attacks are compared by the worst case


def attack_name(run: Run, names: Any) -> str:
    """An attack with its surrogate, and its access unless it is a white box."""
    name = run.attack + (f" on {names['surrogate'](run)}" if run.surrogate else "")
    return (
        name
        + ("" if run.access in SEES or run.surrogate else f" ({run.access})")
        + (", targeted" if run.targeted else "")
    )


def worst_cases(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The worst case over the white-box attacks on each victim, over the clips that all of them attack."""
    names, found = network_names(runs, noise=True), []
    for group in by_victim([run for run in runs if run.access in SEES]):
        paired = Paired(group)
        rates = [paired.rate(place) for place in range(len(group))]
        best = max(range(len(group)), key=lambda place: rates[place].value)
        row = {"model": names["model"](group[0]), "defense": group[0].defense, "attacks": len(group)}
        row |= {"paired_clips": len(paired.clips), **paired.worst_case.columns("worst_case")}
        row |= {"strongest": attack_name(group[best], names), **rates[best].columns("strongest_success")}
        found.append(row | {"alone": paired.alone(best)})
    return sorted(found, key=lambda row: -row["worst_case"])


WORST = FurtherPage(
    name="_worst_case",
    heading="Worst case over the white-box attacks: the share of clips that stay correct under all of them, among the "
    "clips that are correct before and that all of them attack. The most robust victim is first:",
    rows=worst_cases,
    columns=lambda runs: (
        Column("model", "victim"),
        Column("defense", "defense"),
        Column("attacks", "attacks"),
        Column("paired_clips", "clips"),
        Column("worst_case", "accuracy in the worst case", show=rate_cell),
        Column("strongest", "strongest attack"),
        Column("strongest_success", "its success", show=rate_cell),
        Column("alone", "clips that only it fools"),
    ),
)


def matrix(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per attack, one column per victim: success on clips that are correct before."""
    names = network_names(runs, noise=True)
    rows: dict[str, dict[str, Any]] = {}
    for run in runs:
        row = rows.setdefault(attack_name(run, names), {"attack": attack_name(run, names)})
        rate = attack_rate(run, "success_share", right_only=True, feasible=True)
        row[_victim(run, names)] = format_rate(rate)
    return [*rows.values()]


def _victim(run: Run, names: Any) -> str:
    return f"{names['model'](run)}{f', {run.defense}' if run.defense else ''}"


def victims(runs: Sequence[Run]) -> list[Item]:
    names = network_names(runs, noise=True)
    return [
        Column("attack", "attack"),
        *(Column(one, one) for one in dict.fromkeys(_victim(run, names) for run in runs)),
    ]


MATRIX = FurtherPage(
    name="_matrix",
    heading="Success within the threat model by attack and victim, on clips that are correct before:",
    rows=matrix,
    columns=victims,
)

TABLE = Table(
    name="threat",
    title="Threat model",
    takes=lambda run: run.threat is not None,
    apart=lambda run: str(run.threat),
    lead=(VICTIM, DEFENSE, GOAL, ACCESS, SURROGATE, *METHOD),
    columns=(CLIPS, FEASIBLE_IF_RIGHT, SUCCESS_IF_RIGHT, FEASIBLE, CLEAN, RMS, L2, GRADIENTS, FORWARDS, NOISE),
    notes=lambda runs: f"Feasible: within the threat model. {FEASIBLE_NOTE}",
    further=(MATRIX, WORST, TRANSFER),
)
