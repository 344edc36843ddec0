"""Signs that an attack is weaker than it could be: in its own rows, and beside attacks that see less of the victim.

Pure functions of records. They are linear in the number of runs of one victim, except that one number of each run is
compared with that of each other run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_adv.report.columns import format_count
from skeleton_adv.report.words import attack_summary, unit_of
from skeleton_adv.runs.load import Run

SEES_ALL = ("white box", "adaptive")  # accesses with the deployed victim's gradient
SEES_LESS = ("oblivious", "transfer", "scores", "labels")


def signs(runs: Sequence[Run], among: Sequence[Run]) -> list[tuple[Run, str]]:
    """Each sign of weakness of these ``runs``, in their own rows and ``among`` all runs, as a sentence."""
    groups: dict[Any, list[Run]] = {}
    for run in among:
        if _sees_less(run):
            groups.setdefault(same_goal(run), []).append(run)
    rivals = {goal: _Rivals.of(some) for goal, some in groups.items()}
    found = []
    for run in runs:
        texts = warnings(run)
        if not _by_rank(run) and (run.access in SEES_ALL or sees_all(run)):
            texts += [one for rival in rivals.get(same_goal(run), []) if (one := rival.overtakes(run))]
        found += [(run, text) for text in texts]
    return found


def warnings(run: Run) -> list[str]:
    """The signs in a run's own rows that its attack is weaker than it could be; a corruption has no adversary."""
    if "severity" in run.of_attack:
        return []
    found, count = [], len(run.records)
    averaged = any(part.get("eot", 1) not in (0, 1) for part in (run.of_defense, run.of_attack))
    if run.randomised and run.access == "adaptive" and not averaged:
        found.append("the victim draws noise, but the attack does not average over draws: set defense.eot")
    # On clips that the victim is sure about, the cross-entropy's gradient is tiny: the median alone is not enough.
    gradient = run.array("gradient")
    if run.access == "none" and np.isnan(gradient).all():  # that of features, which have no cross-entropy
        return found + _failures(run)
    usual = max(float(np.median(gradient[~np.isnan(gradient)])) if (~np.isnan(gradient)).any() else 1.0, 1.0)
    found += _still(run)
    wild = int((~(gradient < 1e3 * usual) & (gradient != 0)).sum())
    if wild:
        per = {"m": " per metre"}.get(run.unit, f", per {unit_of([run]).name}")
        found.append(f"{wild} of {count} clips have a gradient above {1e3 * usual:g}{per}, 1000 times the usual one")
    return found + _of_members(run) + _failures(run)


def _of_members(run: Run) -> list[str]:
    """Signs that AutoAttack reports, and losses that the number of classes rules out.

    Reliable Evaluation of Adversarial Robustness (Croce and Hein, arXiv 2003.01690).
    """
    found, count, settings = [], len(run.records), run.of_attack
    ours = "aa_member" in run.columns
    least = {"dlr": 3, "targeted_dlr": 4}.get(settings.get("loss", ""), 0)
    least = 4 if ours and settings.get("version") == "standard" else 3 if ours else least
    if run.num_classes < least:
        found.append(f"the DLR loss requires {least} classes, and there are {run.num_classes}: the loss is the margin")
    if not ours:
        return found
    hits = {name: int(run.array(name).sum()) for name in ("aa_varies", "aa_probabilities")}
    if hits["aa_varies"] and settings.get("version") == "standard":
        found.append(f"two calls give different logits on {hits['aa_varies']} of {count} clips: use autoattack_rand")
    found += _flat(run)
    if hits["aa_probabilities"]:
        found.append("the victim returns probabilities, whose cross-entropy has small gradients: return logits")
    return found + _by_scores_alone(run)


def masked(run: Run) -> list[str]:
    """The signs in a run's own rows that the victim's gradient is masked, as sentences."""
    return _still(run) + ([*_flat(run), *_by_scores_alone(run)] if "aa_member" in run.columns else [])


def _still(run: Run) -> list[str]:
    """The clips on which the cross-entropy has no gradient."""
    still = int((run.array("gradient") == 0).sum())
    why = "it is masked, or it is rounded to 0 because the victim is very confident"
    return [f"the cross-entropy has no gradient on {still} of {len(run.records)} clips: {why}"] if still else []


def _flat(run: Run) -> list[str]:
    """The clips on which AutoAttack's APGD met a gradient of 0."""
    flat, count = int(run.array("aa_flat").sum()), len(run.records)
    return [f"APGD met a gradient of exactly 0 on {flat} of {count} clips: the gradient is masked"] if flat else []


def _by_scores_alone(run: Run) -> list[str]:
    """The clips that only the last part of AutoAttack fools, which has no gradient."""
    alone, count = int((run.array("aa_member") == 4).sum()), len(run.records)
    return (
        [f"the square attack, which sees only scores, fools {alone} of {count} clips that APGD and FAB do not"]
        if alone
        else []
    )


def _failures(run: Run) -> list[str]:
    """Signs of weakness among the clips on which the attack fails, as a sentence."""
    found, count = [], len(run.records)
    failed, falling = int((~run.array("success")).sum()), int(run.array("falling").sum())
    diverged = int((run.array("adv_pred") < 0).sum())
    if diverged:
        found.append(
            f"{diverged} of {count} clips diverged: they count as neither fooled nor correct, and no mean includes them"
        )
    if _by_rank(run):
        return found
    # In other runs the margins are those of another network, or of the undefended one; FGSM has one step by definition.
    own = run.access not in ("transfer", "oblivious") and run.settings.get("attack", {}).get("steps") != 1
    if own and failed and falling > 0.1 * failed:
        found.append(f"{falling} of {failed} failures were still improving at the last step: more steps may help")
    if run.array("control_share").sum() > run.array("success_share").sum():
        found.append("Gaussian noise of the same l2 fools the victim more often than the attack does")
    return found


def _by_rank(run: Run) -> bool:
    """Whether an attack leaves some clips correctly classified on purpose, so that its success says little."""
    return "drawn_rank" in run.columns


def sees_all(run: Run) -> bool:
    """Whether the surrogate has the victim's weights, and the victim no defense."""
    return run.access == "transfer" and run.surrogate_weights == run.weights and run.defense is None


def _sees_less(run: Run) -> bool:
    """Whether an attack has no gradient of the deployed victim; for clips from a file this is not known."""
    return run.kind == "attack" and run.access in SEES_LESS and not sees_all(run)


def same_goal(run: Run) -> Any:
    """A value that two runs share if their victim, defense, weights, clips, goal and threat model are the same."""
    keys = ("model", "dataset", "checkpoint", "prepared", "defense", "target", "seed")
    return run.dataset, run.threat, repr([run.settings.get(key) for key in keys])


def common_clips(one: Run, other: Run) -> tuple[np.ndarray, np.ndarray]:
    """The rows of each run for the clips that both attack with the same target."""
    _, ours, theirs = np.intersect1d(one.array("index"), other.array("index"), return_indices=True)
    alike = np.ones(len(ours), dtype=bool)
    for name in ("label", "target"):
        alike &= one.array(name)[ours] == other.array(name)[theirs]
    return ours[alike], theirs[alike]


@dataclass(frozen=True)
class _Rivals:
    """Attacks on one victim that see less of it, all on the same clips with the same targets."""

    runs: Sequence[Run]
    hits: np.ndarray  # (runs, clips) share of judgements
    l2: np.ndarray  # (runs, clips)

    @staticmethod
    def of(runs: Sequence[Run]) -> "list[_Rivals]":
        """These attacks, grouped by their clips."""
        groups: dict[bytes, list[Run]] = {}
        for run in runs:
            groups.setdefault(_clips(run), []).append(run)
        return [_Rivals(some, _stacked(some, "success_share"), _stacked(some, "l2")) for some in groups.values()]

    def overtakes(self, run: Run) -> str:
        """The strongest of them that fools the victim more often than ``run`` at no greater l2, as text, if any.

        Evaluating Adversarial Robustness (Carlini et al., arXiv 1902.06705): if transfer beats the white box, the
        victim's gradient is misleading. Only clips that both attack count.
        """
        ours, theirs = common_clips(run, self.runs[0])
        aimed = run.aimed[ours]
        ours, theirs = ours[aimed], theirs[aimed]
        if not len(ours):
            return ""
        own, others = float(run.array("success_share")[ours].sum()), self.hits[:, theirs].sum(axis=1)
        longer = np.nanmean(self.l2[:, theirs], axis=1) > np.nanmean(run.array("l2")[ours])
        better = np.flatnonzero((others > own) & ~longer)
        if not len(better):
            return ""
        best = better[others[better].argmax()]
        more = f"; {len(better) - 1} more such attacks are stronger too" if len(better) > 1 else ""
        return (
            f"an attack that sees less of the victim ({attack_summary(self.runs[best])}) fools it on "
            f"{format_count(float(others[best]))} of {len(ours)} clips at no greater l2, this attack on "
            f"{format_count(own)}{more}"
        )


def _stacked(runs: Sequence[Run], column: str) -> np.ndarray:
    return np.stack([run.array(column) for run in runs])


def _clips(run: Run) -> bytes:
    return b"".join(run.array(name).astype("int64").tobytes() for name in ("index", "label", "target"))
