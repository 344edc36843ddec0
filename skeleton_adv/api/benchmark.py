"""``sa.benchmark``: a fixed list of attacks on one victim."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from skeleton_adv.api.clips import Clips
from skeleton_adv.api.protocols import PROTOCOLS, Protocol, Threat, clips_digest
from skeleton_adv.api.result import Result, Results
from skeleton_adv.api.run import attack
from skeleton_adv.api.victim import Victim
from skeleton_adv.constraints.base import SLACK
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.files import write_json
from skeleton_adv.core.ranges import nearest
from skeleton_adv.report.columns import format_rate
from skeleton_adv.report.paired import median
from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.runs.load import Run


@dataclass(frozen=True, eq=False)
class Benchmark(Results):
    """The results of a protocol, one per attack."""

    protocol: Protocol = PROTOCOLS["v1"]

    def worst_case(self, threat: str = "linf_2mm") -> Rate:
        """Share of clips that stay correct under every attack of a threat model, with count and 95 % Wilson interval.

        An attack under another threat model counts if its clip is inside the l-infinity ball of this one. Raises
        ``SettingError`` for a threat model that the protocol does not use.
        """
        threats = {str(one): one for one in self.protocol.threats}
        if threat not in threats:
            raise SettingError(
                f"threat={threat} is not in protocol {self.protocol.name}: {nearest(threat, [*threats])}"
            )
        fooled = [
            _wrong(result.run) & self._inside(result, str(entry.threat), threats[threat])
            for result, entry in zip(self.results, self.protocol.entries, strict=True)
        ]
        return rate(self._right & ~np.logical_or.reduce(fooled))

    @property
    def least_l2(self) -> np.ndarray:
        """(N,) the smallest l2 with which any attack fools the victim, metres (in an image: fractions of it).

        Infinite where none does, nan where the victim is wrong before the attack.
        """
        found = [np.where(_wrong(result.run), result.l2, np.inf) for result in self.results]
        return np.where(self._right, np.minimum.reduce(found), np.nan)

    @property
    def clips_digest(self) -> str:
        """Twelve hexadecimal digits of the list of clips, by name."""
        return clips_digest(self.results[0].names)

    @property
    def on_protocol_clips(self) -> bool:
        """Whether the clips are those that the protocol lists for their dataset."""
        return self.protocol.clips.get(self.results[0].run.dataset) == self.clips_digest

    def summary(self) -> pd.DataFrame:
        """Accuracy on clean clips, under each attack and in each worst case, with counts and 95 % Wilson intervals.

        ``l2`` is the mean over clips; in the last row, the median over clips of ``least_l2`` where the victim is right.
        """
        rows = [_row("none (clean)", None, self.results[0].clean_accuracy)]
        for result, entry in zip(self.results, self.protocol.entries, strict=True):
            row = _row(entry.attack, str(entry.threat), result.robust_accuracy)
            rows.append(row | {"l2": float(np.nanmean(result.l2)), "feasible": float(result.feasible.mean())})
        rows += [_row("worst case", str(threat), self.worst_case(str(threat))) for threat in self.protocol.threats]
        rows.append({"attack": "least l2", "l2": median(self.least_l2[self._right])})
        return pd.DataFrame(rows)

    def curve(self) -> pd.DataFrame:
        """The rows of ``summary``: the attacks of a protocol have no common setting."""
        return self.summary()

    def table(self) -> str:
        """The protocol with its digest, the worst cases, and the table of all attacks as the command line prints it."""
        lines = [f"Protocol {self.protocol.name}, digest {self.protocol.digest}; {self._clips_in_words()}"]
        for threat in self.protocol.threats:
            lines.append(f"accuracy in the worst case within {threat}: {format_rate(self.worst_case(str(threat)))} %")
        least = self.summary()["l2"].iloc[-1]
        lines.append(f"median over correct clips of the smallest l2 that any attack found: {least:.3f}")
        return "\n".join(lines) + f"\n\n{super().table()}"

    def save(self, folder: str | Path) -> Path:
        """Copy each run into its own folder below ``folder``, and write ``benchmark.json`` beside these folders.

        JSON has no infinity: there, an infinite ``l2`` is null.
        """
        path = super().save(folder)
        protocol = {"protocol": self.protocol.name, "digest": self.protocol.digest}
        clips = {"clips": self.clips_digest, "protocol_clips": self.on_protocol_clips}
        frame = self.summary().replace(np.inf, np.nan).astype(object)
        rows = frame.where(frame.notna(), None).to_dict("records")
        write_json(path / "benchmark.json", {**protocol, **clips, "summary": rows})
        return path

    @property
    def _right(self) -> np.ndarray:
        """(N,) bool: whether the victim is right before the attack."""
        right: np.ndarray = self.results[0].run.array("clean_correct").astype(bool)
        return right

    def _inside(self, result: Result, own: str, threat: Threat) -> np.ndarray:
        """(N,) bool: whether the clips of an attack under the threat model ``own`` are inside ``threat``."""
        if own == str(threat):
            return result.feasible
        if threat.eps is None:
            return np.zeros(len(result), bool)
        inside: np.ndarray = result.run.array("linf") <= threat.eps + SLACK
        return inside

    def _clips_in_words(self) -> str:
        dataset = self.results[0].run.dataset
        if self.on_protocol_clips:
            return f"its list of {len(self.results[0])} clips of {dataset}"
        return f"{len(self.results[0])} clips of {dataset} (digest {self.clips_digest}), not a list of the protocol"


def benchmark(
    victim: Victim,
    clips: Clips,
    protocol: str = "v1",
    *,
    batch_size: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Benchmark:
    """Attack a victim with every attack of a protocol; all are white-box and untargeted.

    The numbers of two benchmarks can be compared if the digests of their protocols and of their clips are equal. For a
    dataset that the protocol lists, ``sa.load_clips(dataset, limit=100)`` gives its clips (v1: ``utd_mhad`` and
    ``hdm05``). The other parameters are those of ``sa.attack``; the threat models replace ``constraint``. With ``out``,
    repeat an interrupted call to continue it. Raises ``SettingError`` for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise SettingError(f"protocol={protocol} is not known: {nearest(str(protocol), [*PROTOCOLS])}")
    results: list[Result] = []
    for entry in PROTOCOLS[protocol].entries:
        found = attack(
            victim,
            clips,
            entry.attack,
            batch_size=batch_size,
            device=device,
            out=out,
            overrides=[*overrides, f"threat={entry.threat.names[clips.unit]}"],
            **entry.settings,
        )
        assert isinstance(found, Result)
        results.append(found)
    return Benchmark(tuple(results), ("attack",), PROTOCOLS[protocol])


def _wrong(run: Run) -> np.ndarray:
    """(N,) bool: whether the victim classifies the adversarial clip wrongly; non-finite logits are no class."""
    predicted = run.array("adv_pred")
    wrong: np.ndarray = (predicted >= 0) & (predicted != run.array("label"))
    return wrong


def _row(attack: str, threat: str | None, found: Rate) -> dict[str, object]:
    low, high = found.interval
    rates = {"accuracy": found.value, "low": low, "high": high, "clips": found.count}
    return {"attack": attack, "threat": threat, **rates}
