"""The attacks of ``sa.benchmark``, frozen by version, so that numbers of different papers can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skeleton_adv.runs.identity import REVISIONS, identity

# Every setting is written out, so that a later change of a default changes no protocol. Lengths are in metres;
# for joints in an image they are fractions of it.
_PGD = {
    "norm": "linf",
    "step": 0.001,
    "steps": 40,
    "restarts": 1,
    "random_start": True,
    "momentum": 0.0,
    "direction": "steepest",
    "loss": "cross_entropy",
    "seed": 0,
}
_CW: dict[str, Any] = {
    "c": 0.01,
    "search_steps": 5,
    "steps": 200,
    "lr": 0.005,
    "conf": 0.0,
    "abort_early": True,
    "start": "both",
    "start_steps": 200,
    "per_coordinate": False,
    "falling": True,
}
_ADMM = {
    "beta": 1.0,
    "outer_steps": 20,
    "inner_steps": 10,
    "lr": 0.001,
    "conf": 1.0,
    "targeted_loss": "cross_entropy",
    "reduction": "mean",
    "keep": "best",
}
_ONE_STEP = _PGD | {"steps": 1, "random_start": False}


@dataclass(frozen=True)
class Entry:
    """One attack of a protocol: its option and all of its settings."""

    attack: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Protocol:
    """A fixed list of untargeted white-box attacks, applied to all given clips."""

    name: str
    draft: bool  # it may still change, and its digest with it
    entries: tuple[Entry, ...]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any attack, setting or revision of a method."""
        listed = [{"attack": entry.attack, **entry.settings} for entry in self.entries]
        methods = {entry.attack for entry in self.entries}
        return identity({"entries": listed, "revisions": {m: r for m, r in REVISIONS.items() if m in methods}}, 1)


PROTOCOLS = {
    "v1": Protocol(
        name="v1",
        draft=True,
        entries=(
            Entry("fgsm", _ONE_STEP | {"eps": 0.01, "step": 0.01}),
            Entry("mi_fgsm", _PGD | {"eps": 0.01, "random_start": False, "momentum": 1.0, "steps": 10}),
            *(Entry("pgd", _PGD | {"eps": eps, "step": eps / 10}) for eps in (0.005, 0.01, 0.02)),
            Entry("cw", _CW),
            Entry("admm", _ADMM),
        ),
    )
}
