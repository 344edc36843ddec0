"""The attacks of ``sa.benchmark``, frozen by version, so that numbers of different papers can be compared."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skeleton_adv.runs.identity import REVISIONS, identity

# Every setting is written out, so that a later change of a default changes no protocol. Lengths are in metres; for
# joints in an image they are fractions of it.
_PGD = {
    "steps": 40,
    "restarts": 1,
    "random_start": True,
    "momentum": 0.0,
    "direction": "steepest",
    "loss": "cross_entropy",
    "seed": 0,
}
_ONE_STEP = _PGD | {"steps": 1, "random_start": False}
_APGD = {
    "steps": 100,
    "restarts": 1,
    "loss": "cross_entropy",
    "targets": 9,
    "eot": 1,
    "alpha": 0.75,
    "rho": 0.75,
    "seed": 0,
}
_AUTOATTACK = {"version": "standard", "steps": 20, "targets": 5, "queries": 500, "eot": 1, "seed": 0}
_DDN = {"loss": "cross_entropy", "steps": 300, "radius": 1.0, "gamma": 0.05, "lr": 1.0, "lr_final": 0.01}
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


@dataclass(frozen=True)
class Threat:
    """A threat model by its name for clips in metres and in an image, and the radius of its l-infinity ball."""

    names: Mapping[str, str]  # unit -> name of the option
    eps: float | None = None  # metres, or fractions of an image; None: the limits on bones, angles and speeds

    def __str__(self) -> str:
        return self.names["m"]


SMALL = Threat({"m": "linf_2mm", "image": "image_linf_02pct"}, 0.002)
LARGE = Threat({"m": "linf_10mm", "image": "image_linf_1pct"}, 0.01)
PAPER = Threat({"m": "paper", "image": "paper"})


@dataclass(frozen=True)
class Entry:
    """One attack of a protocol: its option, all of its settings, and the threat model that sets its budget."""

    attack: str
    settings: Mapping[str, Any]
    threat: Threat


@dataclass(frozen=True)
class Protocol:
    """A fixed list of untargeted white-box attacks, and the lists of clips on which results are compared."""

    name: str
    entries: tuple[Entry, ...]
    clips: Mapping[str, str]  # dataset -> digest of its list of clips (``clips_digest``)
    limit: int  # clips per dataset: ``sa.load_clips(dataset, limit=...)`` gives the list

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any attack, setting, budget, list or revision of a method."""
        listed = [
            {"attack": entry.attack, "threat": str(entry.threat), "radius": entry.threat.eps, **entry.settings}
            for entry in self.entries
        ]
        methods = {entry.attack for entry in self.entries}
        revisions = {method: revision for method, revision in REVISIONS.items() if method in methods}
        return identity({"entries": listed, "clips": self.clips, "limit": self.limit, "revisions": revisions}, 1)

    @property
    def threats(self) -> tuple[Threat, ...]:
        """The threat models of the entries."""
        return tuple({str(entry.threat): entry.threat for entry in self.entries}.values())


def clips_digest(names: Iterable[str]) -> str:
    """Twelve hexadecimal digits of a list of clips, by name."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:12]


def _entries() -> Iterator[Entry]:
    for threat in (SMALL, LARGE):
        assert threat.eps is not None
        yield Entry("fgsm", _ONE_STEP | {"step": threat.eps}, threat)
        yield Entry("pgd", _PGD | {"step": threat.eps / 10}, threat)
        yield Entry("apgd_ce", _APGD, threat)
        yield Entry("autoattack", _AUTOATTACK, threat)
    yield from (Entry("ddn", _DDN, PAPER), Entry("cw", _CW, PAPER), Entry("admm", _ADMM, PAPER))


PROTOCOLS = {
    "v1": Protocol(
        name="v1",
        entries=tuple(_entries()),
        clips={"utd_mhad": "1f0b6663cba2", "hdm05_11": "d71c1fc975e9"},
        limit=100,
    )
}
