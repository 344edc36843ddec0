"""``sa.benchmark``: a fixed list of attacks on one victim."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from skeleton_adv.api.clips import Clips
from skeleton_adv.api.protocols import PROTOCOLS, Protocol
from skeleton_adv.api.result import Result, Results
from skeleton_adv.api.run import attack
from skeleton_adv.api.victim import Victim
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.files import write_json
from skeleton_adv.core.ranges import nearest
from skeleton_adv.report.columns import format_rate
from skeleton_adv.report.stats import Rate, rate


@dataclass(frozen=True, eq=False)
class Benchmark(Results):
    """The results of a protocol, one per attack."""

    protocol: Protocol = PROTOCOLS["v1"]

    @property
    def worst_case(self) -> Rate:
        """Share of clips that stay correct under every attack, with its count and 95 % Wilson interval."""
        right = []
        for run in (result.run for result in self.results):
            diverged, correct = run.array("adv_pred") < 0, run.array("clean_correct").astype(bool)
            right.append(np.where(diverged, correct, run.array("adv_pred") == run.array("label")))
        return rate(np.logical_and.reduce(right))

    def summary(self) -> pd.DataFrame:
        """Accuracy on clean clips, under each attack and in the worst case, with counts and 95 % Wilson intervals."""
        rows = [_row("none (clean)", self.results[0].clean_accuracy)]
        for result in self.results:
            eps = result.run.of_attack.get("eps")
            row = _row(result.run.attack, result.robust_accuracy)
            rows.append(
                row | {"eps": eps, "l2": float(np.nanmean(result.l2)), "feasible": float(result.feasible.mean())}
            )
        rows.append(_row("worst case", self.worst_case))
        return pd.DataFrame(rows)

    def curve(self) -> pd.DataFrame:
        """The rows of ``summary``: the attacks of a protocol have no common setting."""
        return self.summary()

    def table(self) -> str:
        """The protocol with its digest, the worst case, and the table of all attacks as the command line prints it."""
        name = (
            f"Protocol {self.protocol.name}{' (draft)' if self.protocol.draft else ''}, digest {self.protocol.digest}"
        )
        worst = f"accuracy in the worst case over {len(self)} attacks: {format_rate(self.worst_case)} %"
        return f"{name}: {worst}\n\n{super().table()}"

    def save(self, folder: str | Path) -> Path:
        """Copy each run into its own folder below ``folder``, and write ``benchmark.json`` beside these folders."""
        path = super().save(folder)
        protocol = {"protocol": self.protocol.name, "draft": self.protocol.draft, "digest": self.protocol.digest}
        rows = self.summary().astype(object).where(lambda frame: frame.notna(), None).to_dict("records")
        write_json(path / "benchmark.json", {**protocol, "summary": rows})
        return path


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

    The numbers of two benchmarks can be compared if the digests of their protocols are equal. The other parameters are
    those of ``sa.attack``. With ``out``, repeat an interrupted call to continue it. Raises ``SettingError``
    for an unknown protocol.
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
            overrides=overrides,
            **entry.settings,
        )
        assert isinstance(found, Result)
        results.append(found)
    return Benchmark(tuple(results), ("attack",), PROTOCOLS[protocol])


def _row(attack: str, found: Rate) -> dict[str, object]:
    low, high = found.interval
    return {"attack": attack, "accuracy": found.value, "low": low, "high": high, "clips": found.count}
