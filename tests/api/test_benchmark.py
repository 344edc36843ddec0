"""The benchmark protocol: frozen, complete, and honest about its worst case."""

import json
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from jobs import job_of
from own import clips, victim

import skeleton_adv as sa
from skeleton_adv.api import benchmark as module
from skeleton_adv.api.protocols import PROTOCOLS, Entry, Protocol

DIGESTS = {"v1": "2c9ef7cea8e1"}


def test_the_digest_changes_with_any_setting_only() -> None:
    v1 = PROTOCOLS["v1"]
    assert v1.digest == DIGESTS["v1"]
    first, *rest = v1.entries
    for name, value in first.settings.items():
        changed = {**first.settings, name: f"not {value}"}
        assert Protocol("v1", True, (Entry(first.attack, changed), *rest)).digest != v1.digest
    assert Protocol("other", False, v1.entries).digest == v1.digest


@pytest.mark.parametrize("entry", PROTOCOLS["v1"].entries, ids=lambda entry: entry.attack)
def test_every_setting_is_written_out(entry: Entry) -> None:
    """A later default must not change a protocol."""
    words = [f"attack={entry.attack}"]
    task = job_of(words).task
    attack = task.attack  # type: ignore[attr-defined]
    own = {name for name, p in signature(attack.func).parameters.items() if p.kind == p.KEYWORD_ONLY}
    masks = {"joints", "frames", "joint_eps"}  # of the victim's clips, not of a protocol
    assert {*entry.settings} == own - {"targeted", "trace", "constraints"} - masks


def test_the_worst_case_takes_the_best_attack_for_each_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Protocol("v1", True, tuple(entry for entry in PROTOCOLS["v1"].entries if entry.attack in ("fgsm", "pgd")))
    monkeypatch.setitem(module.PROTOCOLS, "v1", quick)
    found = sa.benchmark(victim(), clips())
    right = np.all([one.records["adv_pred"] == one.records["label"] for one in found], axis=0)
    assert (found.worst_case.hits, found.worst_case.count) == (right.sum(), 5)
    assert found.worst_case.value <= min(one.robust_accuracy.value for one in found)
    summary = found.summary()
    assert summary["attack"].tolist() == ["none (clean)", "fgsm", "pgd", "pgd", "pgd", "worst case"]
    assert f"Protocol v1 (draft), digest {quick.digest}" in found.table()
    assert found.curve().equals(summary) and sa.plot(found).axes
    kept = json.loads((found.save(tmp_path / "kept") / "benchmark.json").read_text())
    assert kept["digest"] == quick.digest and len(kept["summary"]) == 6
    assert len([*(tmp_path / "kept").glob("*/run.json")]) == 4
