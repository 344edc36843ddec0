"""Anonymised clips and their judges: networks never attacked, or retrained on such clips, of subjects or actions."""

from collections.abc import Sequence
from typing import Any

from skeleton_adv.report.columns import (
    ACCURACY,
    CLEAN,
    CLIPS,
    DEFENSE,
    L2,
    RMS,
    VICTIM,
    Column,
    number_cell,
    rate_cell,
)
from skeleton_adv.report.stats import attack_rate
from skeleton_adv.report.table import Table
from skeleton_adv.runs.load import Facts, Run

CLASSES = {"action": "actions", "subject": "subjects"}


def source(run: Run) -> Facts:
    """The attack that made a run's clips, with its settings and the network that it is made on."""
    if run.origin is not None:
        return run.origin
    return {
        "run": run.identity,
        "attack": run.attack,
        "settings": run.of_attack,
        "attacked": run.surrogate or run.victim,
        "weights": run.surrogate_weights if run.surrogate else run.weights,
        "label": _label(run),
        "columns": [*run.columns],
    }


def ranked(run: Run) -> bool:
    """Whether the clips come from an attack that hides the true class among k ranks."""
    return {"rank", "drawn_rank"} <= {*source(run).get("columns", ())}


def hidden(run: Run) -> str:
    """What hides which classes, and from which network."""
    made = source(run)
    own = made["settings"]
    first = 2 if own.get("hide") else 1
    size = f"β={own['beta']:g}" if "beta" in own else f"{own.get('norm')} ε={own.get('eps'):g}"
    text = f"{made['attack']} {size}, ranks {first} to {first + int(own['k']) - 1}"
    return f"{CLASSES[made['label']]} from {made['attacked']}: {text}"


def role(run: Run) -> str:
    """What the judge knows of the attack."""
    learnt = run.training.get("settings")
    if isinstance(learnt, dict) and "clips" in learnt:
        return f"retrained on clips of {learnt.get('attack')}"
    return "attacked" if run.weights == source(run)["weights"] else "never attacked"


def _label(run: Run) -> str:
    return str((run.settings.get("dataset") or {}).get("label", "action"))


def chance(run: Run) -> float | None:
    """The accuracy of a judge of the hidden classes from whom the attack hides them; None for other classes."""
    made = source(run)
    if made["label"] != _label(run):
        return None
    return 0.0 if made["settings"].get("hide") else 1 / int(made["settings"]["k"])


def notes(runs: Sequence[Run]) -> str:
    return (
        "Each row is one network that judges clips in which an attack has hidden the class. Attacked: the network that "
        "the attack was made on. Never attacked: a network with other weights. Retrained: trained on "
        "training clips that were attacked in the same way. Clips are anonymous only if the accuracy of all three is "
        "near the wanted one. If the judge recognises other classes than those that are hidden, its accuracy is the "
        "utility of the clips: how well the action survives when the subject is hidden, or the reverse. Only clips "
        "that are for testing in both splits count there. Kept: clips that stay correct, among those that are correct "
        "before."
    )


def _kept(run: Run) -> Any:
    return attack_rate(run, "adv_share", right_only=True)


TABLE = Table(
    name="anonymity_judged",
    title="Anonymised clips and their judges",
    takes=ranked,
    lead=(
        Column("hidden", "hidden", hidden, covers=("attack", "attack.path", "attack.k", "attack.hide", "prepared")),
        Column("classes", "recognised", lambda run: CLASSES[_label(run)], covers=("dataset.label",)),
        Column("role", "judge", role, covers=("surrogate", "surrogate_checkpoint")),
        VICTIM,
        DEFENSE,
    ),
    columns=(
        CLIPS,
        CLEAN,
        ACCURACY,
        Column(
            "wanted",
            "wanted %",
            chance,
            number_cell(".1f", 100),
            "Wanted: 1 / k, or 0 with attack.hide=true.",
            always=True,
        ),
        Column("kept", "kept", _kept, rate_cell, always=True),
        *(L2, RMS),
    ),
    also=(
        Column("origin", "", lambda run: source(run)["run"]),
        Column("attack", "", lambda run: source(run)["attack"]),
        Column("k", "", lambda run: source(run)["settings"]["k"], number_cell("g")),
    ),
    notes=notes,
)
