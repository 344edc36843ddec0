"""Tasks as a user runs them: whole commands in separate processes, most of them forks of a process with all imports."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import ENV, forked
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.files import read_json
from skeleton_adv.data.store import prepare
from skeleton_adv.models.network import build_network
from skeleton_adv.models.weights import save_weights
from skeleton_adv.runs.load import load_runs
from skeleton_adv.tasks import train
from skeleton_adv.tasks.weights import find_checkpoint, trained_network


def test_growing_noise_and_a_choice_of_epochs_exclude_each_other() -> None:
    overrides = ["task=train", "dataset=utd_mhad", "recipe.noise_warmup=0.5"]
    job = job_of([*overrides, "model.noise=0.25"])
    assert isinstance(job.task, train.Task)
    with pytest.raises(SettingError, match=r"recipe\.held_out=0\.1 may choose epochs before"):
        job.task.check(job)
    still = job_of([*overrides, "model.noise=0"])
    assert isinstance(still.task, train.Task)
    still.task.check(still)


def refused(words: list[str]) -> None:
    job = job_of(words)
    find_checkpoint(job, job.victim)


def test_a_users_network_without_weights_gets_no_wrong_advice(tmp_path: Path) -> None:
    words = ["model.architecture._target_=skeleton_adv.models.hcn.HCN", f"runtime.checkpoint_dir={tmp_path}"]
    with pytest.raises(CheckpointError, match="train it with: task=train and the same words"):
        refused(words)


def test_the_command_for_missing_weights_contains_the_shape_of_the_data(tmp_path: Path) -> None:
    overrides = ["model=agcn_small", "dataset.num_actions=7", "dataset.num_persons=1", "dataset.space=normalised"]
    with pytest.raises(CheckpointError) as caught:
        refused([*overrides, f"runtime.checkpoint_dir={tmp_path}"])
    assert f"task=train model=agcn_small dataset=synthetic_cs {' '.join(overrides[1:])} model.seed=0" in str(
        caught.value
    )


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(next(folder.rglob("records.csv"))).drop(columns="seconds")


def test_attack_resume_and_repeat(place: tuple[Path, list[str]]) -> None:
    """After kill -9 and a cut row, the same command gives the rows of an uninterrupted run; then it does nothing."""
    folder, arguments = place
    whole = forked(folder, *arguments, "runtime.output_dir=whole")
    assert whole.returncode == 0, whole.stderr
    assert "12 of 12" in whole.stdout and "records: whole/" in whole.stdout
    slow = [*arguments, "runtime.output_dir=killed"]
    process = subprocess.Popen(
        [sys.executable, "-m", "skeleton_adv", *slow], cwd=folder, env=ENV, stderr=subprocess.PIPE
    )
    for _ in range(2400):
        found = list((folder / "killed").rglob("records.csv"))
        if found and len(found[0].read_text().splitlines()) >= 3:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    records = found[0]
    if not (records.parent / "run.json").exists():  # killed before its end, as intended
        records.write_bytes(records.read_bytes()[:-5])
    again = forked(folder, *slow)
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(rows(folder / "whole"), rows(folder / "killed"))
    before = {path: path.stat().st_mtime_ns for path in (folder / "killed").rglob("*.*")}
    records = next((folder / "killed").rglob("records.csv"))
    records.parents[2].rename(records.parents[2].with_name("admm_of_old"))  # the same numbers under another name
    other = forked(folder, *slow)
    assert other.returncode == 2 and "the same run exists under other names, in killed/" in other.stderr
    records.parents[2].with_name("admm_of_old").rename(records.parents[2])
    repeat = forked(folder, *slow)
    assert repeat.returncode == 0 and "nothing to do: 12 of 12" in repeat.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "killed").rglob("*.*")}


def test_experiment_runs_its_grid_and_writes_its_table(place: tuple[Path, list[str]]) -> None:
    folder, arguments = place
    short = ["runtime.limit=4", "attack.outer_steps=1", "runtime.output_dir=grid", "runtime.table_dir=tables"]
    answer = forked(folder, *arguments, *short, "experiment=table1")
    assert answer.returncode == 0, answer.stderr
    table = pd.read_csv(folder / "tables/utd_mhad/table1.csv")
    assert len(table) == 6 and (table["clips"] == 4).all() and (table["test_clips"] == 12).all()
    assert sorted(zip(table["setting"], table["beta"], strict=True)) == sorted(
        (setting, beta) for setting in ("targeted", "untargeted") for beta in (0.1, 1, 10)
    )
    summaries: list[dict[str, Any]] = [json.loads(path.read_text()) for path in (folder / "grid").rglob("run.json")]
    assert len(summaries) == 6 and {summary["done"] for summary in summaries} == {4}
    assert all("root" not in summary["command"] for summary in summaries)
    tables = forked(folder, "grid", "--out", "again", module="skeleton_adv.tables")
    assert tables.returncode == 0, tables.stderr
    for kind in ("md", "tex", "csv"):
        name = f"utd_mhad/table1.{kind}"
        assert (folder / "tables" / name).read_text() == (folder / "again" / name).read_text()
    next((folder / "grid").rglob("run.json")).unlink()
    without = forked(folder, "grid", module="skeleton_adv.tables")
    assert without.returncode == 0 and "unfinished" in without.stderr and without.stderr.count("\n") == 1
    refused = forked(folder, "grid", "--strict", module="skeleton_adv.tables")
    assert refused.returncode == 2 and "no run.json" in refused.stderr and refused.stderr.count("\n") == 1


def test_training_writes_weights_that_the_attack_finds(mat_folder: Path, tmp_path: Path) -> None:
    common = ["dataset=utd_mhad", f"dataset.root={mat_folder}", "model.architecture.fc7=16"]
    training = [*common, "task=train", "recipe.epochs=1", "recipe.batch_size=6"]
    first = forked(tmp_path, *training)
    assert first.returncode == 0, first.stderr
    about = json.loads((tmp_path / "outputs/checkpoints/utd_mhad/hcn_t32_k27_s0.json").read_text())
    assert about["test_clips"] == 12 and 0 <= about["test_accuracy"] <= 1 and len(about["settings"]["prepared"]) == 64
    assert [(epoch["phase"], epoch["epoch"]) for epoch in about["history"]] == [("select", 1), ("refit", 1)]
    drawn = forked(tmp_path, "outputs/checkpoints", module="skeleton_adv.figures")
    assert drawn.returncode == 0 and "utd_mhad/training_hcn_t32_k27_s0.png" in drawn.stdout, drawn.stderr
    assert "nothing to do" in forked(tmp_path, *training).stderr
    other = forked(tmp_path, *training, "recipe.lr=0.01")
    assert other.returncode == 2 and "trained with other settings" in other.stderr
    attack = forked(tmp_path, *common, "attack.outer_steps=1", "runtime.limit=2", "batch_size=2")
    assert attack.returncode == 0 and "2 of 12" in attack.stdout, attack.stderr


def test_a_folder_without_test_clips_is_named(mat_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(mat_folder, tmp_path / "data", ignore=shutil.ignore_patterns("*_s2_*", "*_s4_*"))
    answer = forked(tmp_path, "dataset=utd_mhad", "dataset.root=data")
    assert answer.returncode == 2 and "none of its 12 clips is a test clip" in answer.stderr
    assert answer.stderr.count("\n") == 1 and not list(tmp_path.rglob("run*"))


def test_weights_are_written_where_they_can_be_read_again(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    words = [word for word in place[1] if not word.startswith("attack.")]
    answer = forked(tmp_path, *words, "task=train", "model.checkpoint=weights.pt")
    assert (
        answer.returncode == 2 and "model.checkpoint=weights.pt: weights are written as .safetensors" in answer.stderr
    )
    assert not list(tmp_path.glob("*weights*"))


def test_weights_that_were_trained_on_other_clips_are_named(
    mat_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["dataset=utd_mhad", f"dataset.root={mat_folder}"]
    job = job_of(overrides)
    prepared, path = prepare(job.dataset, tmp_path), tmp_path / "w.safetensors"
    network = build_network(job.victim.model.architecture, job.victim.model.preprocess, job.dataset)
    cases: list[tuple[dict[str, Any], bool | None, str]] = [
        ({"dataset": "utd_mhad", "settings": {"prepared": prepared.digest}}, True, ""),
        ({"dataset": "utd_mhad", "settings": {"prepared": "0123"}}, False, "was trained on another utd_mhad"),
        ({"dataset": "utd_mhad"}, None, ""),
        ({"dataset": "ntu60_cs"}, False, "was trained on ntu60_cs:"),
        ({"settings": {"prepared": "0123"}}, False, "was trained on other clips:"),
        ({}, None, ""),
    ]
    for about, here, warning in cases:
        save_weights(network, path, about)
        assert trained_network(job, job.victim, path, prepared)[1]["trained_here"] is here
        shown = capsys.readouterr().err
        assert warning in shown and ("was trained on" in shown) is (here is False)


def test_unknown_facts_of_a_training_are_not_invented(mat_folder: Path, tmp_path: Path) -> None:
    job = job_of(["dataset=utd_mhad", f"dataset.root={mat_folder}"])
    prepared, path = prepare(job.dataset, tmp_path), tmp_path / "w.safetensors"
    network = build_network(job.victim.model.architecture, job.victim.model.preprocess, job.dataset)
    for about in ({}, {"settings": {}}, {"settings": None}):
        save_weights(network, path, about)
        facts = trained_network(job, job.victim, path, prepared)[1]
        assert (facts["training"], facts["trained_noise"]) == ({"name": "unknown"}, None)
    for settings in (
        "x",
        {"model": 3},
        {"model": {"architecture": 3}},
        {"dataset": 3},
        {"noise": "abc"},
        {"training": "x"},
        {"training": {}},
    ):
        save_weights(network, path, {"settings": settings})
        with pytest.raises(CheckpointError, match=r"w\.json does not say how"):
            trained_network(job, job.victim, path, prepared)


def test_weights_are_found_by_the_seed_of_their_training(mat_folder: Path, tmp_path: Path) -> None:
    job = job_of(["dataset=utd_mhad", f"dataset.root={mat_folder}", "model.seed=3"])
    prepared, path = prepare(job.dataset, tmp_path), tmp_path / "w.safetensors"
    network = build_network(job.victim.model.architecture, job.victim.model.preprocess, job.dataset)
    for about, seed in (({"settings": {"seed": 1}}, 1), ({}, 3)):
        save_weights(network, path, about)
        assert trained_network(job, job.victim, path, prepared)[1]["seeds"] == {"model": seed}


def test_identity_changes_exactly_if_a_number_can_change(
    place: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command is one run; folders differ exactly if a number can differ."""
    folder, arguments = place
    monkeypatch.chdir(folder)
    short = [*arguments, "attack.outer_steps=1", "attack.inner_steps=1", "runtime.limit=1", "runtime.output_dir=ids"]

    def key(*changes: str) -> set[str]:
        before = {path.parent.name for path in (folder / "ids").rglob("run.json")}
        assert tasks.run(job_of([*short, *changes])) is not None
        return {path.parent.name for path in (folder / "ids").rglob("run.json")} - before

    assert len(key()) == 1
    for same in ("attack.beta=1", "runtime.device=cpu", "runtime.cache_dir=other"):
        assert key(same) == set(), same
    weights = (folder / "small.safetensors").read_bytes()
    (folder / "other.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    for other in (
        *("attack.beta=2", "batch_size=3", "seed=1", "targeted=true", "constraint.bone.eps=0.02"),
        *("dataset.test_crop=0.9", "model.checkpoint=other.safetensors"),
    ):
        assert len(key(other)) == 1, other
    assert key("targeted=true", "target=wave") and not key("targeted=true", "target=2")


@pytest.mark.parametrize(("made", "read"), [("synthetic_cv", "ntu60_cv"), ("synthetic_kinetics", "kinetics")])
def test_exported_files_are_prepared_by_the_real_reader(made: str, read: str, tmp_path: Path) -> None:
    actions = "dataset.num_actions=5"
    answer = forked(tmp_path, "task=export", f"dataset={made}", "runtime.limit=3", actions)
    assert answer.returncode == 0 and "6 clips are in" in answer.stderr
    folder = f"dataset.root=outputs/files/{made}"
    answer = forked(tmp_path, "task=prepare", f"dataset={read}", folder, actions)
    assert answer.returncode == 0 and "3 training and 3 test clips of 5 actions" in answer.stderr


def test_the_shipped_victim_is_trained_by_its_recipe(tmp_path: Path) -> None:
    """This fails after a change of generator, model or recipe without a new training."""
    shipped = f"runtime.checkpoint_dir={Path(__file__).parents[2] / 'outputs/checkpoints'}"
    answer = forked(tmp_path, "task=train", shipped)
    assert answer.returncode == 0 and "nothing to do" in answer.stderr


def test_saved_clips_are_judged_again(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, arguments = place
    short = [*arguments, "runtime.limit=3", f"runtime.output_dir={tmp_path}"]
    assert forked(folder, *short).returncode == 0
    first = forked(folder, *short, "runtime.save_clips=true")  # the records exist, the clips do not yet
    assert first.returncode == 0 and "nothing to do" not in first.stderr
    assert "nothing to do" in forked(folder, *short, "runtime.save_clips=true").stderr
    (made,) = (path.parent for path in tmp_path.rglob("run.json"))
    rest = [a for a in short if not a.startswith("attack.")]
    again = forked(folder, *rest, "attack=from_file", f"attack.path={made}")
    assert again.returncode == 0, again.stderr
    (judged,) = (path for path in tmp_path.rglob("records.csv") if path.parent != made)
    before, after = pd.read_csv(made / "records.csv"), pd.read_csv(judged)
    same = [name for name in before if name not in ("found", "forwards", "gradients", "seconds")]
    pd.testing.assert_frame_equal(before[same], after[same], check_exact=True)
    assert (after["forwards"] == 1).all() and (after["gradients"] == 0).all()
    for change, message in (
        ("targeted=true", "was made with target=None, not random"),
        ("dataset.num_frames=48", "was made with dataset.num_frames=32, not 48"),
        ("runtime.limit=4", "contains 3 clips, but not number"),
        ("attack.path=nowhere", "attack.path=nowhere is not a finished run"),
    ):
        refused = forked(folder, *rest, "attack=from_file", f"attack.path={made}", change)
        assert refused.returncode == 2 and message in refused.stderr and refused.stderr.count("\n") == 1
    for settings in (3, {"dataset": 3}):
        (made / "run.json").write_text(json.dumps({"settings": settings}))
        refused = forked(folder, *rest, "attack=from_file", f"attack.path={made}")
        assert refused.returncode == 2 and "does not say with which settings" in refused.stderr


def test_the_trace_of_an_attack_is_saved_and_drawn(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, arguments = place
    short = [*arguments, "runtime.limit=3", f"runtime.output_dir={tmp_path}/runs", f"runtime.figure_dir={tmp_path}/out"]
    plain = forked(folder, *short)
    assert plain.returncode == 0, plain.stderr
    (records,) = tmp_path.rglob("records.csv")
    before, provenance = pd.read_csv(records), read_json(records.with_name("run.json"))
    drawn = forked(folder, *short, "experiment=figure3", "targeted=false")
    assert drawn.returncode == 0 and "nothing to do" not in drawn.stderr, drawn.stderr
    assert read_json(records.with_name("run.json")) == provenance  # the rows are still those of the first command
    assert list(tmp_path.rglob("records.csv")) == [records]  # saving the trace is not another run
    pd.testing.assert_frame_equal(pd.read_csv(records), before, check_exact=True)
    course = pd.read_csv(tmp_path / "out/utd_mhad/figure3_hcn_admm_beta1_untargeted.csv")
    assert course["step"].tolist() == list(range(1, 11)) and (course["clips"] == 3).all()
    assert (course[["bone", "angle", "speed"]].iloc[0] == 0).all() and (course["bone"].iloc[1:] > 0).all()
    film = forked(
        folder,
        f"{tmp_path}/runs",
        "--clip",
        before["name"][0],
        "--out",
        f"{tmp_path}/film",
        module="skeleton_adv.figures",
    )
    assert film.returncode == 0 and film.stdout.count("\n") == 4 and ".gif" in film.stdout, film.stderr
    refused = forked(folder, *[a for a in short if "attack." not in a], "attack=cw", "runtime.save_trace=true")
    assert refused.returncode == 2 and "attack=cw keeps no trace" in refused.stderr and refused.stderr.count("\n") == 1


def test_shards_in_any_order_are_the_whole_run(place: tuple[Path, list[str]]) -> None:
    """The rows of the shards are bit for bit those of the run, for an attack and for certificates."""
    folder, arguments = place
    certify = [word for word in arguments if not word.startswith(("attack", "batch_size"))] + ["task=certify"]
    certify += ["smoothing.n0=8", "smoothing.n=16", "smoothing.clips=2", "smoothing.at_once=8"]
    short = [*arguments, "attack.outer_steps=1"]
    for words, file in ((short, "records.csv"), (certify, "certificates.csv")):
        for name, more in (("one", []), ("cut", ["-m", "runtime.shard=2/3,1/3,3/3"])):
            answer = forked(folder, *words, "runtime.limit=7", f"runtime.output_dir={name}", *more)
            assert (answer.returncode == 0 and "(7" in answer.stdout) or "7 of" in answer.stdout, answer.stderr
        found = [
            pd.concat([pd.read_csv(path, dtype=str) for path in (folder / name).rglob(file)])
            .drop(columns="seconds")
            .sort_values("name", ignore_index=True)
            for name in ("one", "cut")
        ]
        pd.testing.assert_frame_equal(*found)
        method = "certify" if file == "certificates.csv" else "admm"
        (whole,), (cut,) = (load_runs(next((folder / name).rglob(method)))[0] for name in ("one", "cut"))
        assert cut.done == whole.done == 7 and cut.identity == whole.identity
    assert "has no effect on task=train" in forked(folder, *arguments[:2], "task=train", "runtime.shard=1/2").stderr
