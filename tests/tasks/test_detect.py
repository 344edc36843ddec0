"""``task=detect`` from the command line: a detector is fitted once, and judges the clips of finished attacks."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from attacked import two_attacks
from forked import command
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.core.errors import DataError, RunError, SettingError
from skeleton_adv.data.clips import Clip
from skeleton_adv.evaluation import detect
from skeleton_adv.runs.load import load_run

PARTS = ["fit_clips='*_s2_*'", "judged_clips='*_s4_*'"]


@pytest.fixture(scope="module")
def made(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Path, Path]:
    return two_attacks(mat_folder, tmp_path_factory.mktemp("detect"))


def detection(made: tuple[Path, list[str], Path, Path], *more: str, judged: Path | None = None) -> Path:
    _, words, untargeted, _ = made
    given = [*words, "task=detect", "batch_size=4", f"judged={judged or untargeted}", f"fit_on=[{untargeted}]", *PARTS]
    folder = tasks.run(job_of([*given, *more]))
    assert folder is not None
    return folder


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "detections.csv").drop(columns="seconds")


def test_each_judged_clip_has_a_row_that_agrees_with_the_attack(made: tuple[Path, list[str], Path, Path]) -> None:
    folder = detection(made, "detector.epochs=20", "detector.batch_size=8")
    found = rows(folder)
    assert found["name"].str.contains("_s4_").all() and len(found) == 6
    theirs = pd.read_csv(made[2] / "records.csv").set_index("index").loc[found["index"]].reset_index()
    for name in ("name", "label", "clean_pred", "adv_pred", "clean_correct", "success", "target"):
        assert found[name].tolist() == theirs[name].tolist()
    assert found["l2"].tolist() == pytest.approx(theirs["l2"].tolist(), rel=1e-6)
    assert (found["clean_alarm"] == (found["clean_score"] > found["threshold"])).all()
    run = load_run(folder)
    assert run is not None and (run.kind, run.access, run.attack) == ("detection", "oblivious", "bim")


def test_a_fitted_detector_is_used_again_and_a_killed_run_continues(
    made: tuple[Path, list[str], Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["detector=mlp", "detector.epochs=5"]
    whole = detection(made, *more)
    expected, about = rows(whole), json.loads((whole / "run.json").read_text())
    fitted = {path: path.stat().st_mtime_ns for path in (made[0] / "checkpoint").rglob("mlp_*.safetensors")}
    assert len(fitted) == 1
    for path in whole.iterdir():
        path.unlink()
    judged = detect.Detection._rows
    calls = 0

    def dies(self: detect.Detection, numbers: list[int]) -> list[dict[str, Any]]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return judged(self, numbers)

    monkeypatch.setattr(detect.Detection, "_rows", dies)
    with pytest.raises(KeyboardInterrupt):
        detection(made, *more)
    assert len(rows(whole)) == 4 and not (whole / "run.json").exists()
    monkeypatch.setattr(detect.Detection, "_rows", judged)
    assert detection(made, *more) == whole
    pd.testing.assert_frame_equal(rows(whole), expected)
    assert json.loads((whole / "run.json").read_text())["identity"] == about["identity"]
    assert {path: path.stat().st_mtime_ns for path in fitted} == fitted
    detection(made, *more, judged=made[3])  # another attack, the same detector
    assert len([*(made[0] / "checkpoint").rglob("mlp_*.safetensors")]) == 1
    (path,) = fitted
    path.unlink()
    path.with_suffix(".json").unlink()
    for one in whole.iterdir():
        one.unlink()
    detection(made, *more)  # fitted again
    pd.testing.assert_frame_equal(rows(whole), expected)


def test_clips_of_the_target_class_are_no_examples_of_a_targeted_attack(
    made: tuple[Path, list[str], Path, Path],
) -> None:
    targeted = made[3]
    theirs = pd.read_csv(targeted / "records.csv")
    theirs["aimed"] = theirs["label"] != theirs["target"]
    theirs["fooled"] = theirs["clean_correct"] & (theirs["adv_pred"] == theirs["target"])

    def learnt(subject: str) -> pd.DataFrame:
        """The rows of the clips on which the detector is trained; rows are in the order of execution."""
        own = theirs[theirs["name"].str.contains(f"_{subject}_")]
        return own.iloc[detect.held_out([*range(len(own))])[0]]

    # Rounding decides on which subject's clips the weak attack succeeds.
    pairs = (("s2", "s4"), ("s4", "s2"))
    subject, other = next(pair for pair in pairs if learnt(pair[0])[["fooled", "aimed"]].all(axis=1).any())
    parts = [f"fit_clips='*_{subject}_*'", f"judged_clips='*_{other}_*'"]
    detection(made, "detector=mlp", "detector.epochs=1", "seed=7", f"fit_on=[{targeted}]", *parts, judged=targeted)
    (path,) = [one for one in (made[0] / "checkpoint").rglob("mlp_*.json") if '"seed": 7' in one.read_text()]
    facts, fit = json.loads(path.read_text()), learnt(subject)
    assert (fit["fooled"] & ~fit["aimed"]).any()
    assert facts["adversarial"] == [(fit["fooled"] & fit["aimed"]).sum()]


@pytest.mark.parametrize("detector", ["knn", "mahalanobis", "logit_margin"])
def test_detectors_without_adversarial_clips_need_none(detector: str, made: tuple[Path, list[str], Path, Path]) -> None:
    """They are identified without the attacks of ``fit_on``."""
    first = detection(made, f"detector={detector}")
    assert detection(made, f"detector={detector}", "fit_on=[]") == first
    assert rows(first)["adv_score"].notna().all()


def test_an_adaptive_attack_is_at_least_as_good_and_stays_in_its_ball(
    made: tuple[Path, list[str], Path, Path],
) -> None:
    """Untargeted and targeted, on the same clips and with the budget of the judged attack."""
    for judged in made[2:]:
        known = rows(detection(made, "detector=logit_margin", judged=judged))
        words = ["detector=logit_margin", "adaptive=true", "joint.steps=5", "joint.weights=[1.0]"]
        folder = detection(made, *words, judged=judged)
        found, run = rows(folder), load_run(folder)
        assert run is not None and run.access == "adaptive" and run.settings["joint"]["eps"] == 0.2
        assert found["index"].tolist() == known["index"].tolist() and found["threshold"].equals(known["threshold"])
        before, after = ((one["success"] & ~one["adv_alarm"]) for one in (known, found))
        assert (after | ~before).all()
        clean = ["clean_score", "clean_pred", "clean_alarm", "target"]
        pd.testing.assert_frame_equal(found[clean], known[clean])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit_on=[]"], "fit_on=.FOLDER."),
        (["fit_on={judged}"], "must be a list"),
        (["judged=nowhere"], "judged=nowhere is not a finished attack"),
        (["judged_clips=null"], "belong together"),
        (["judged_clips='*_s2_*'"], "share clips"),
        (["judged_clips='*_s3_*'"], "judged_clips=.* matches too few"),
        (["fit_clips='*_s2_t1*'", "per_class=1"], "fit_clips=.* matches too few"),
        (["dataset.test_crop=0.9"], "made with another dataset"),
        (["detector.network=cnn"], "detector.network=cnn"),
        (["joint.steps=0", "adaptive=true"], "joint.steps=0"),
        (["joint.eps=0.1", "adaptive=true"], "joint.norm=None and joint.eps=0.1 belong together"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, made: tuple[Path, list[str], Path, Path]) -> None:
    with pytest.raises((SettingError, RunError, DataError), match=message) as caught:
        detection(made, *(word.format(judged=made[2]) for word in words))
    assert "\n" not in str(caught.value)


def test_an_adaptive_attack_on_an_attack_without_budget_needs_one(made: tuple[Path, list[str], Path, Path]) -> None:
    attack = [*made[1], "attack=ddn", "attack.steps=2", "batch_size=4", "runtime.save_clips=true"]
    judged = tasks.run(job_of(attack))
    assert judged is not None
    with pytest.raises(SettingError, match=r"joint\.norm"):
        detection(made, "detector=knn", "adaptive=true", judged=judged)


def test_clips_are_chosen_by_patterns_or_by_halves() -> None:
    clips = [
        Clip(f"a{label}_s{subject}_t{trial}", label, "test")
        for label in (0, 1)
        for subject in range(4)
        for trial in range(3)
    ]
    order = [*range(len(clips))][::-1]
    found = detect.chosen(clips, order, "*_s1_*|*_s3_*", 0, None)
    assert len(found) == 12 and all(clips[n].name[4] in "13" for n in found) and found == sorted(found, reverse=True)
    most = detect.chosen(clips, order, "*_s1_*|*_s3_*", 0, 4)
    assert [clips[n].label for n in most].count(0) == 4 and most == [n for n in found if n in most]
    halves = [detect.chosen(clips, order, None, half, None) for half in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(order) and all(halves)
    assert detect.held_out([*range(9)]) == ([0, 1, 2, 4, 5, 6, 8], [3, 7])


def test_the_threshold_is_the_conformal_quantile() -> None:
    scores = torch.arange(1.0, 100.0)[torch.randperm(99, generator=torch.Generator().manual_seed(0))]
    assert detect.threshold_of(scores) == 95
    assert detect.threshold_of(torch.tensor([3.0, 1.0, torch.nan])) == 3
    rng = torch.Generator().manual_seed(0)
    normal = [torch.randn(2, 59, generator=rng) for _ in range(400)]
    rates = [float((later > detect.threshold_of(held)).float().mean()) for held, later in normal]
    assert 0.035 < sum(rates) / len(rates) < 0.06


def test_a_folder_may_contain_attacks_of_which_one_has_the_most_clips(made: tuple[Path, list[str], Path, Path]) -> None:
    above = made[2].parent
    assert above == made[3].parent  # both goals are in the same folder
    same = detection(made, "detector=knn")
    assert detection(made, "detector=knn", judged=above) == same
    aimed = detection(made, "detector=knn", "targeted=true", judged=above)
    assert aimed == detection(made, "detector=knn", judged=made[3]) != same
    again = [*made[1], "attack=bim", "attack.eps=0.1", "attack.steps=2", "batch_size=4", "runtime.save_clips=true"]
    tasks.run(job_of([*again, "runtime.limit=4"]))
    assert detection(made, "detector=knn", judged=above) == same
    tasks.run(job_of(again))
    with pytest.raises(RunError, match="contains 2 attacks"):
        detection(made, "detector=knn", judged=above)
    with pytest.raises(RunError, match="not a finished attack"):
        detection(made, "detector=knn", judged=made[0] / "cache")


@pytest.mark.slow
def test_kill_minus_nine_at_any_change_of_a_file_loses_nothing(
    made: tuple[Path, list[str], Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    _, words, untargeted, _ = made
    own = [word for word in words if not word.startswith(("runtime.output", "runtime.checkpoint"))]
    own += ["task=detect", "batch_size=4", f"judged={untargeted}", f"fit_on=[{untargeted}]", *PARTS]
    own += ["detector=mlp", "detector.epochs=3"]
    whole = command(tmp_path / "whole", own)
    (expected,) = (tmp_path / "whole").rglob("run.json")
    weights = {path.name: path.read_bytes() for path in (tmp_path / "whole").rglob("*.safetensors")}
    assert len(weights) == 1 and whole.changes > 5
    for change in range(1, whole.changes + 1):
        folder = tmp_path / f"change{change}"
        assert command(folder, own, at_change=change).killed
        command(folder, own)
        (found,) = folder.rglob("run.json")
        pd.testing.assert_frame_equal(rows(found.parent), rows(expected.parent))
        assert {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")} == weights
