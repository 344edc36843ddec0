"""Figures of the clips and traces that a run has saved."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from samples import run, six_rows

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.skeleton import NTU25, SKELETONS, Skeleton
from skeleton_adv.figures import write_all, write_one
from skeleton_adv.report.clips_to_draw import Pair, examples, find_clip, has_clips, has_trace, load_pairs
from skeleton_adv.report.clips_to_draw import mean_trace as trace_of
from skeleton_adv.report.draw import write_drawing
from skeleton_adv.report.figures import FIGURES
from skeleton_adv.report.figures.convergence import draw as convergence
from skeleton_adv.report.film import animate, strip
from skeleton_adv.report.words import attack_summary
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.load import Run

STEPS = 5


def write_saved(runs: list[Run], out: Path) -> list[Path]:
    """The figures of saved clips and traces."""
    drawings = [one for one in FIGURES if one.after in ("figure3", "films")]
    return [path for drawing in drawings for path in write_drawing(drawing, runs, out)]


def saved(
    folder: Path,
    skeleton: Skeleton = NTU25,
    trace: bool = True,
    terms: tuple[str, ...] = ("bone", "angle", "speed"),
    **facts: Any,
) -> Run:
    """Three clips in two files: 0 and 1 of class 1, and 2 of class 0; the second person exists in clip 2 only."""
    channels, joints = skeleton.channels, skeleton.num_joints
    x = np.random.Generator(np.random.PCG64(0)).random((3, channels, 8, joints, 2), dtype="float32") + 0.1
    x[:2, ..., 1] = 0
    mask = np.ones((3, 1, 8, joints, 2), dtype=bool)
    mask[:2, ..., 1] = False
    x_adv = x.copy()
    x_adv[:, 0, 3, 6, 0] += 0.05  # the left wrist in the fourth frame
    clips = SavedClips(folder)
    for numbers in ([0, 1], [2]):
        steps = np.arange(STEPS, dtype="float32") * np.array(numbers)[:, None]
        traced = {f"trace.{name}": steps + place for place, name in enumerate(("loss", *terms))}
        held = {"x": x[numbers], "x_adv": x_adv[numbers], "mask": mask[numbers]}
        clips.save(numbers, held | (traced if trace else {}), {})
    rows = six_rows(label=[1, 1, 0, 0, 0, 0], clean_pred=[1, 1, 0, 0, 0, 0], clean_correct=True, success=True)[:3]
    more = {"skeleton": skeleton.name, "classes": ["wave", "sit_down", "stand_up"], "done": 3}
    return run(rows, folder, **more | facts)


def test_examples_are_correct_before_and_fooled_and_of_different_classes(tmp_path: Path) -> None:
    shown = saved(tmp_path)
    assert examples(shown, 2) == [0, 2] and examples(shown, 9) == [0, 2, 1]
    unfit = shown.records.assign(success=[True, True, False], clean_correct=[False, True, True])
    assert examples(replace(shown, records=unfit), 9) == [1]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_strip_names_the_largest_displacement(skeleton: Skeleton, tmp_path: Path) -> None:
    (pair,) = load_pairs(saved(tmp_path, skeleton), [2])
    assert pair.displacement.max() == pytest.approx(0.05, abs=1e-6) and (pair.displacement > 0).sum() == 1
    frame, figure = strip(pair)
    title = " ".join(figure.get_suptitle().split())
    joint = skeleton.joints[6].replace("_", " ")
    assert f"largest displacement 50 mm: {joint}, frame 4" in title and "a stand-in" in title
    assert [axes.get_title() for axes in figure.axes[:6]] == [f"frame {n}" for n in (1, 2, 4, 5, 7, 8)]
    assert len(frame) == 6 * 2 * skeleton.num_joints
    moved = frame[frame["x_adv"] - frame["x"] > 0.01]
    assert moved[["frame", "person", "joint"]].to_numpy().tolist() == [[4, 1, skeleton.joints[6]]]


def test_absent_persons_are_not_drawn(tmp_path: Path) -> None:
    one, two = load_pairs(saved(tmp_path), [0, 2])
    lines = [sum(len(axes.lines) for axes in strip(pair)[1].axes) for pair in (one, two)]
    assert lines == [18 * 24, 2 * 18 * 24]  # six frames clean, six adversarial over a shade
    assert one.exists.sum() * 2 == two.exists.sum()


def test_animation_has_every_frame(tmp_path: Path) -> None:
    (pair,) = load_pairs(saved(tmp_path), [1])
    with Image.open(animate(pair, tmp_path / "new" / "film.gif")) as film:
        assert film.n_frames == 8
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["film.gif"]


def test_the_trace_is_the_mean_over_clips(tmp_path: Path) -> None:
    traced = saved(tmp_path)
    assert has_clips(traced) and has_trace(traced)
    frame = trace_of(traced)
    np.testing.assert_allclose(frame["loss"], np.arange(STEPS))  # clips 0, 1 and 2 times the step
    np.testing.assert_allclose(frame["speed"], np.arange(STEPS) + 3)
    assert frame["step"].tolist() == [1, 2, 3, 4, 5] and {*frame["clips"]} == {3}
    pd.testing.assert_frame_equal(next(iter(convergence([traced])))[0], frame)
    assert not has_trace(saved(tmp_path / "other", trace=False)) and not has_clips(replace(traced, folder=None))
    (tmp_path / "clips" / "000000_2.safetensors").unlink()  # some clips only: the mean over the others
    np.testing.assert_allclose(trace_of(traced)["loss"], 2 * np.arange(STEPS))


@pytest.mark.parametrize("terms", [(), ("jerk",), ("bone", "angle", "speed", "jerk", "reach", "balance", "gait")])
def test_a_trace_has_any_number_of_terms(tmp_path: Path, terms: tuple[str, ...]) -> None:
    traced = saved(tmp_path, terms=terms)
    ((frame, figure, _),) = convergence([traced])
    assert {*terms} <= {*frame} and len(figure.axes[1].lines) == len(terms)
    words = [text.get_text() for legend in figure.axes[1:] if legend.get_legend() for text in legend.get_legend().texts]
    assert sorted(words) == sorted(f"{name} term" for name in terms)


def test_files_of_all_kinds(tmp_path: Path) -> None:
    shown = saved(tmp_path / "run")
    names = {path.name for path in write_saved([shown], tmp_path / "out")}
    stems = ("figure3_hcn_admm_beta1_untargeted", *(f"film_hcn_admm_beta1_untargeted_clip_{n}" for n in range(3)))
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "csv")}
    only = {path.name for path in write_all([shown], tmp_path / "only", "figure3")}
    assert only == {f"{stems[0]}.{kind}" for kind in ("png", "pdf", "csv")}
    assert [path.suffix for path in write_one([shown], "clip_1", tmp_path / "one")] == [".png", ".pdf", ".csv", ".gif"]


def test_a_clip_that_was_not_saved_and_a_damaged_file(tmp_path: Path) -> None:
    shown = saved(tmp_path)
    with pytest.raises(RunError, match="has not saved clip 7"):
        load_pairs(shown, [7])
    with pytest.raises(RunError, match="--clip nothing: no run has saved this clip"):
        write_one([shown], "nothing", tmp_path)
    file = tmp_path / "clips" / "000002_1.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(RunError, match="is damaged"):
        load_pairs(shown, [0])


def test_only_saved_clips_are_drawn(tmp_path: Path) -> None:
    shown = saved(tmp_path)
    (tmp_path / "clips" / "000002_1.safetensors").unlink()
    assert (
        examples(shown, 9) == [0, 1]
        and find_clip(shown, "2") == []
        and find_clip(shown, "clip_1") == find_clip(shown, "1") == [1]
    )
    assert {path.stem for path in write_all([shown], tmp_path / "out", "films")} == {
        f"film_hcn_admm_beta1_untargeted_clip_{n}" for n in (0, 1)
    }


def test_frames_without_any_joint_are_left_out(tmp_path: Path) -> None:
    (pair,) = load_pairs(saved(tmp_path), [2])
    short = Pair(pair.run, pair.record, pair.x, pair.x_adv, pair.exists & (np.arange(8) < 5)[:, None, None])
    assert [axes.get_title() for axes in strip(short)[1].axes[:6]] == [f"frame {n}" for n in (1, 2, 3, 3, 4, 5)]
    with Image.open(animate(short, tmp_path / "film.gif")) as film:
        assert film.n_frames == 5


@pytest.mark.more
def test_no_figure_overwrites_another(tmp_path: Path) -> None:
    one, two = saved(tmp_path / "one"), saved(tmp_path / "two", settings={"seed": 1}, identity="def")
    paths = write_saved([one, two], tmp_path / "out")
    assert len({*paths}) == len(paths) == 2 * 3 * (1 + 3)
    assert {"figure3_hcn_admm_beta1_untargeted_abc.png", "figure3_hcn_admm_beta1_untargeted_def.png"} <= {
        path.name for path in paths
    }


def test_titles_name_the_attack_the_surrogate_and_the_victim(tmp_path: Path) -> None:
    assert attack_summary(run()) == "admm β=1, untargeted, on hcn"
    hidden = {"choices": {"defense": "noise_filter"}, "access": "oblivious"}
    assert attack_summary(run(**hidden)) == "admm β=1, untargeted, on hcn behind noise_filter (oblivious attack)"
    hidden = {"choices": {"defense": "noise_filter", "model@surrogate": "agcn"}, "access": "transfer"}
    made = saved(tmp_path, **hidden)
    assert attack_summary(made) == "admm β=1, untargeted, made on agcn, judged by hcn behind noise_filter"
    ((_, figure, _),) = convergence([made])
    assert attack_summary(made) in " ".join(figure.get_suptitle().split())
