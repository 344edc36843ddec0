"""The benchmark protocol: frozen, complete, and honest about its worst case."""

import json
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import yaml
from jobs import job_of
from own import clips, victim

import skeleton_adv as sa
from skeleton_adv.api import benchmark as module
from skeleton_adv.api.protocols import PROTOCOLS, Entry, Protocol, Threat, clips_digest
from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.clips import hashed_order
from skeleton_adv.runs.identity import NEUTRAL

CONF = Path(__file__).parents[2] / "conf"
DIGESTS = {"v1": "cd079f719f32"}  # frozen: a change is a new protocol


def test_the_digest_changes_with_any_setting_only() -> None:
    v1 = PROTOCOLS["v1"]
    assert v1.digest == DIGESTS["v1"]
    first, *rest = v1.entries
    for name, value in first.settings.items():
        changed = replace(first, settings={**first.settings, name: f"not {value}"})
        assert replace(v1, entries=(changed, *rest)).digest != v1.digest
    assert replace(v1, entries=(replace(first, threat=v1.entries[-1].threat), *rest)).digest != v1.digest
    assert replace(v1, clips={**v1.clips, "utd_mhad": "another"}).digest != v1.digest
    assert replace(v1, name="other").digest == v1.digest


@pytest.mark.parametrize("entry", PROTOCOLS["v1"].entries, ids=lambda entry: f"{entry.attack}-{entry.threat}")
def test_every_setting_is_written_out(entry: Entry) -> None:
    """A later default must not change a protocol: the threat model sets norm and eps, the entry everything else.

    Settings that were added later have values with which they change nothing.
    """
    words = [f"attack={entry.attack}", f"threat={entry.threat}"]
    job = job_of(words)
    attack = job.task.attack  # type: ignore[attr-defined]
    own = {name for name, p in signature(attack.func).parameters.items() if p.kind == p.KEYWORD_ONLY}
    masks = {"joints", "frames", "joint_eps"}  # of the victim's clips, not of a protocol
    target = f"{attack.func.__module__}.{attack.func.__name__}"
    added = {key.removeprefix(f"{target}.") for key in NEUTRAL if key.startswith(f"{target}.")}
    by_threat = {"norm", "eps"} if entry.threat.eps is not None else set()
    assert {*entry.settings} == own - {"targeted", "trace", "constraints"} - masks - by_threat - added


@pytest.mark.parametrize("threat", PROTOCOLS["v1"].threats, ids=str)
def test_threat_models_are_as_frozen(threat: Threat) -> None:
    for name in threat.names.values():
        option = yaml.safe_load((CONF / "threat" / f"{name}.yaml").read_text())
        frozen = {} if threat.eps is None else {"norm": "linf", "eps": threat.eps}
        assert option["budget"] == frozen
        if frozen:
            assert {key: option["constraint"]["ball"][key] for key in frozen} == frozen


def quick(*attacks: str) -> Protocol:
    return replace(PROTOCOLS["v1"], entries=tuple(one for one in PROTOCOLS["v1"].entries if one.attack in attacks))


def test_the_worst_case_takes_the_best_attack_for_each_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = quick("fgsm", "pgd", "ddn")
    monkeypatch.setitem(module.PROTOCOLS, "v1", own)
    found = sa.benchmark(victim(), clips())
    right = np.asarray(found[0].records["clean_correct"])
    wrong = np.stack([one.records["adv_pred"] != one.records["label"] for one in found])
    for threat, eps in (("linf_2mm", 0.002), ("linf_10mm", 0.01)):
        inside = np.stack([one.records["linf"] <= eps + 1e-6 for one in found])
        expected = right & ~(wrong & inside).any(axis=0)
        assert (found.worst_case(threat).hits, found.worst_case(threat).count) == (expected.sum(), 5)
    least = np.where(wrong, np.stack([one.l2 for one in found]), np.inf).min(axis=0)
    np.testing.assert_array_equal(found.least_l2, np.where(right, least, np.nan))
    summary = found.summary()
    named = [*("none (clean)", "fgsm", "pgd", "fgsm", "pgd", "ddn"), *["worst case"] * 3, "least l2"]
    assert summary["attack"].tolist() == named
    assert summary["l2"].iloc[-1] == np.sort(least[right])[(right.sum() - 1) // 2]
    assert f"Protocol v1, digest {own.digest}; 5 clips of own" in found.table() and not found.on_protocol_clips
    assert found.curve().equals(summary) and sa.plot(found).axes
    kept = json.loads((found.save(tmp_path / "kept") / "benchmark.json").read_text())
    assert "Infinity" not in (tmp_path / "kept/benchmark.json").read_text()
    assert kept["digest"] == own.digest and kept["clips"] == found.clips_digest and len(kept["summary"]) == 10
    assert len([*(tmp_path / "kept").glob("*/run.json")]) == 5
    with pytest.raises(SettingError, match="did you mean 'linf_2mm'"):
        found.worst_case("linf_2m")


@pytest.mark.parametrize(("dataset", "root", "count"), [("utd_mhad", "utd_mhad", 100), ("hdm05", "hdm05_11", 99)])
def test_the_lists_of_clips_are_as_frozen(shared: Path, dataset: str, root: str, count: int) -> None:
    """The names decide, so no clip is read."""
    v1 = PROTOCOLS["v1"]
    data = job_of([f"dataset={dataset}", f"dataset.root={shared / 'datasets' / root}"]).dataset
    listed = data.clips()
    found = [listed[number].name for number in sorted(hashed_order(listed, "test")[: v1.limit])]
    assert len(found) == count and clips_digest(found) == v1.clips[data.name]
