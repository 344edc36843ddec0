"""Defenses under attacks that know them, with the number that an attack without this knowledge would have given."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skeleton_adv.report.columns import (
    ACCESS,
    CLEAN,
    CLIPS,
    DEFENSE,
    GRADIENTS,
    METHOD,
    RMS,
    SUCCESS_IF_RIGHT,
    SURROGATE,
    VICTIM,
    Column,
    rate_cell,
)
from skeleton_adv.report.paired import Paired, by_victim, comparable
from skeleton_adv.report.stats import Rate, clean_accuracy, flatten, rate
from skeleton_adv.report.table import FurtherPage, Table
from skeleton_adv.report.weakness import SEES_ALL, masked
from skeleton_adv.report.words import network_names, surrogate_training_summary, training_summary
from skeleton_adv.runs.load import Run

KINDS = {"autoattack": "AutoAttack", "admm": "ADMM", "transfer": "transfer", "square": "Square"}
OTHER = "other"


def takes(run: Run) -> bool:
    """Whether a run attacks a defended victim under a threat model, or belongs to an experiment about defenses."""
    defended = run.defense is not None or bool(training_summary(run))
    return (run.threat is not None and defended) or str(run.experiment).startswith("defenses")


def kind(run: Run) -> str:
    """Which of the columns an attack belongs to.

    ``oblivious``: made on the undefended network, or on the same network without the training that defends it.
    """
    undefended = run.surrogate == run.victim and not surrogate_training_summary(run) and bool(training_summary(run))
    if run.access == "oblivious" or (run.access == "transfer" and undefended):
        return "oblivious"
    if run.access == "transfer":
        return "transfer"
    return next((name for name in KINDS if run.attack.startswith(name)), OTHER)


def kept(run: Run) -> Rate:
    """Accuracy under attack, over all clips; with a threat model, clips outside it count as not attacked.

    A clip of a victim without noise also has to be correct before the attack.
    """
    clean, share = run.array("clean_share"), run.array("adv_share")
    share = share if run.randomised else np.minimum(share, clean)
    return rate((np.where(run.array("feasible"), share, clean) if run.threat else share)[run.aimed])


def summary(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per threat model and defended victim, from untargeted runs; attacks without a threat model join all."""
    names, found = network_names(runs, noise=True), []
    made = [run for run in runs if not run.targeted]
    threats: list[str | None] = [*sorted({run.threat for run in made if run.threat})]
    for threat in threats or [None]:
        under = [run for run in made if run.threat in (threat, None)]
        for group in by_victim(under):
            own = {"threat": threat or "", "model": names["model"](group[0]), "defense": _defense(group[0], under)}
            found.append(own | _row(group))
    return sorted(found, key=lambda row: (row["threat"], row["model"].partition(",")[0], -row.get("worst_case", 2.0)))


def _defense(run: Run, among: Sequence[Run]) -> str:
    """A defense, with those of its settings that have several values among these runs."""
    same = [flatten(one.of_defense) for one in among if one.defense == run.defense]
    own = flatten(run.of_defense)
    varied = [name for name in own if len({repr(one.get(name)) for one in same}) > 1]
    return " ".join([run.defense or "none", *(f"{name}={own[name]:g}" for name in varied if own[name] is not None)])


def _row(group: Sequence[Run]) -> dict[str, Any]:
    """The accuracies of one victim: under the strongest attack of each kind, and in the worst case per clip."""
    by_kind: dict[str, list[Run]] = {}
    for run in group:
        by_kind.setdefault(kind(run), []).append(run)
    row: dict[str, Any] = clean_accuracy(max(group, key=lambda run: len(run.records))).columns("clean_accuracy")
    for name in (*KINDS, "oblivious"):
        if name in by_kind:
            row |= min((kept(run) for run in _alike(by_kind[name])), key=float).columns(name)
    inside = [run for run in group if run.threat]
    if any(run.access in SEES_ALL for run in inside):  # without an attack that sees the defense, it would mislead
        row |= _worst(inside).columns("worst_case")
    seeing = [run for run in group if run.access in SEES_ALL]
    return row | {"attacks": len(group), "sign": _sign(group) if seeing else "not known: no attack used its gradient"}


def _alike(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs under the threat model if there are any: others are no comparison for its worst case."""
    return [run for run in runs if run.threat] or runs


def _worst(runs: Sequence[Run]) -> Rate:
    """Accuracy in the worst case per clip over attacks; of a victim that draws noise, that of one attack."""
    group = comparable(runs)
    if any(run.randomised for run in group):
        return min((kept(run) for run in group), key=float)
    paired = Paired(group)
    return rate(paired.right & ~paired.hits.any(axis=0))


def _sign(group: Sequence[Run]) -> str:
    """By what one sees that the gradient is masked, or ``none``."""
    found = [text for run in group if run.access in SEES_ALL for text in masked(run)]
    # A victim that draws noise may be fooled by chance.
    inside = comparable([run for run in group if run.threat and not run.randomised])
    seeing = np.array([run.access in SEES_ALL for run in inside], dtype=bool)
    if seeing.any() and not seeing.all():
        paired = Paired(inside)
        alone = int((paired.hits[~seeing].any(axis=0) & ~paired.hits[seeing].any(axis=0)).sum())
        if alone:
            found.append(
                f"{alone} of {len(paired.clips)} clips are fooled only by attacks without the victim's gradient"
            )
    return "; ".join(dict.fromkeys(found)) or "none"


def _columns(runs: Sequence[Run]) -> list[Column]:
    heads: Mapping[str, str] = KINDS | {"worst_case": "worst case per clip", "oblivious": "oblivious"}
    return [
        *(Column("threat", "threat model"), Column("model", "victim"), Column("defense", "defense")),
        Column("clean_accuracy", "clean accuracy", show=rate_cell),
        *(Column(name, head, show=rate_cell) for name, head in heads.items()),
        Column("sign", "sign of masked gradients"),
    ]


SUMMARY = FurtherPage(
    name="_summary",
    heading="Accuracy of each defended victim under the strongest attack of each kind, over all clips; a clip outside "
    "the threat model counts as not attacked. ADMM has limits on the body instead of a threat model, and is left out "
    "of the worst case. Worst case per clip: the share of clips that are correct under every attack within the threat "
    "model; for a victim that draws noise, the accuracy under its strongest single attack, because a worst case over "
    "noisy judgements is biased. Oblivious: the attack is made on the undefended network, or on the same network "
    "without the training that defends it, as in papers that propose a defense; it is under the threat model if such a "
    "run exists, and an attack without a threat model otherwise, which is not comparable with the worst case:",
    rows=summary,
    columns=_columns,
)

TABLE = Table(
    name="defenses",
    title="Defenses under attack",
    takes=takes,
    lead=(Column("threat", "threat model", lambda run: run.threat or ""), VICTIM, DEFENSE, ACCESS, SURROGATE, *METHOD),
    columns=(
        CLIPS,
        Column(
            "kept",
            "accuracy",
            kept,
            rate_cell,
            "Accuracy is that under attack, over all clips; a clip outside the threat model counts as not attacked.",
            always=True,
        ),
        *(CLEAN, SUCCESS_IF_RIGHT, RMS, GRADIENTS),
    ),
    further=(SUMMARY,),
    runs_last=True,
)
