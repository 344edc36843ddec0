"""The page as a file: what it contains, what it refuses, and that its numbers are those of the tables."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paged import CLASSES, HOSTILE, NAMES, runs, unchanged
from samples import run as sample

from skeleton_adv.constraints.base import Constraint
from skeleton_adv.core.errors import DataError, RunError
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.page import main
from skeleton_adv.page.board import attacks, certificates, key_of, victims
from skeleton_adv.page.clips import Shown, choose, of_runs, part_of, positions
from skeleton_adv.page.command import gathered
from skeleton_adv.page.curves import _labels as curve_labels
from skeleton_adv.page.curves import charts
from skeleton_adv.page.facts import facts
from skeleton_adv.page.html import document
from skeleton_adv.page.make import Content, page
from skeleton_adv.page.measures import body_of, coded, ratios
from skeleton_adv.page.own import clips_of
from skeleton_adv.page.pack import as_json, pack, unpack
from skeleton_adv.page.reported import FORMAT, reported
from skeleton_adv.page.tables import tables
from skeleton_adv.page.windows import windows
from skeleton_adv.report.columns import format_rate
from skeleton_adv.report.stats import attack_rate, clean_accuracy
from skeleton_adv.report.tables import by_table
from skeleton_adv.runs.load import Run
from skeleton_adv.tables import show_and_write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def text(made: list[Run]) -> str:
    return page(Content(made))


def test_names_cannot_leave_their_element(text: str) -> None:
    assert HOSTILE not in text and NAMES[1] not in text
    core = re.search(r'<script type="application/json" id="core">(.*?)</script>', text, re.DOTALL)
    assert core and {clip["name"] for clip in json.loads(core[1])["clips"]} == {*NAMES}
    assert text.count("<script") == text.count("</script>")
    assert as_json({"a": "</script>&\u2028"}) == '{"a":"\\u003c/script\\u003e\\u0026\\u2028"}'


def test_title_is_escaped() -> None:
    title = "<b>\"'&{{script}}"
    assert f"<title>{html.escape(title)}</title>" in document(title, {}, {})


def test_policy_allows_this_script_and_style_alone(text: str) -> None:
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    code = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(code) == len(style) == 1
    for name, (content,) in {"script-src": code, "style-src": style}.items():
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert rules["default-src"] == "'none'" and "connect-src" not in rules
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://(?!www\.w3\.org/2000/svg)", code[0]
    )


def test_parts_are_read_back_as_they_were() -> None:
    arrays = {"a": np.arange(6, dtype="<u2").reshape(2, 3), "b": np.array([-1, 32767], dtype="<i2")}
    header, found = unpack(pack({"x": float("nan"), "y": np.float64(0.5), "z": (1, 2)}, arrays))
    assert header == {"x": None, "y": 0.5, "z": [1, 2]}
    assert all((found[name] == arrays[name]).all() and found[name].dtype == arrays[name].dtype for name in arrays)


def test_positions_are_rounded_by_at_most_half_a_tenth_of_a_millimetre(made: list[Run]) -> None:
    for shown in of_runs(choose(made, 6)):
        header, arrays = unpack(pack(*part_of(shown, lambda run: "no weights", "clip-0")))
        for found, clip in zip(positions(header, arrays), (shown.x, shown.x_adv), strict=True):
            assert clip is not None
            there = np.broadcast_to(shown.exists, clip.shape)
            assert np.abs(found - clip)[there].max() <= 0.5e-4 * (1 + 1e-3)


def test_clips_are_taken_evenly_and_shared_by_attacks(made: list[Run]) -> None:
    chosen = [(run.identity, number) for run, number in choose(made, 4)]
    assert chosen == [("aaa", 0), ("bbb", 0), ("aaa", 1), ("bbb", 1)]
    assert choose(made, 0) == []


@pytest.mark.parametrize("kind", ["bone", "angle", "speed"])
@pytest.mark.parametrize("shift", [1e-7, 1e-3, 0.05])
def test_violations_agree_with_the_feasibility_check(made: list[Run], kind: str, shift: float) -> None:
    from skeleton_adv.page.measures import _batch

    shown = of_runs(choose(made, 1))[0]
    x_adv = shown.x.copy()
    x_adv[0, 8:, 5] += shift
    body = body_of(made[0].settings)
    found = ratios(shown.x, x_adv, shown.exists, 1 / 30, NTU25, body)
    limit: Constraint = body.limits[kind]
    batch = _batch(shown.x, shown.exists, 1 / 30, NTU25)
    satisfied = limit.satisfied(torch.from_numpy(x_adv)[None], batch).item()
    assert (found[kind] <= 1).all() == satisfied == (coded(found[kind]) <= 100).all()
    if kind == "bone" and shift == 0.05:
        frame, bone, _ = np.unravel_index(found["bone"].argmax(), found["bone"].shape)
        assert frame >= 8 and 5 in NTU25.bones[bone]


def test_limits_are_the_runs_own_if_it_has_them() -> None:
    own = {"_target_": "skeleton_adv.constraints.BoneLength", "eps": 0.2}
    assert body_of({"constraint": {"bone": own}}).limits["bone"].eps == 0.2
    assert not body_of({"constraint": {"bone": own}}).own
    assert [limit.eps for limit in body_of({}).limits.values()] == [0.01, 0.1, 0.1]


class Sum(torch.nn.Module):
    """Two classes: whether the mean of the clip is above 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = 1000 * x.flatten(1).mean(dim=1)
        return torch.stack([mean, -mean], dim=1)


def test_windows_see_only_their_frames() -> None:
    x = np.ones((3, 16, 25, 1), dtype=np.float32)
    x_adv = x.copy()
    x_adv[:, 8:] = -1
    found = windows(Sum(), x, x_adv, np.ones((16, 25, 1), bool), NTU25)
    one = found.classes.index(0)
    assert found.width == 8 and (found.clean[:, one] > 0.99).all()
    assert found.adversarial[0, one] > 0.99 and found.adversarial[-1, one] < 0.01
    assert found.middles[0] == 3.5 and found.middles[-1] == 11.5


def test_leaderboard_has_the_numbers_of_the_records(made: list[Run]) -> None:
    by_key = {key_of(run): run for run in made}
    rows = attacks(made)
    assert {row["run"] for row in rows} == {key for key, run in by_key.items() if run.kind == "attack"}
    for row in rows:
        run = by_key[row["run"]]
        wanted = {
            "clean_accuracy": clean_accuracy(run),
            "success_if_right": attack_rate(run, "success_share", right_only=True),
            "feasible_success_if_right": attack_rate(run, "success_share", right_only=True, feasible=True),
        }
        for name, rate in wanted.items():
            assert row[name]["text"] == format_rate(rate)
            assert row[name]["value"] == pytest.approx(100 * rate.value, abs=1e-3)
    assert [row["weak"] for row in rows if row["run"].endswith("ccc")] == [True]
    assert any(row["paper"] == "100.0 % success" for row in rows)


def test_tables_are_those_of_the_command_line(made: list[Run], tmp_path: Path, capsys: Any) -> None:
    show_and_write(made, tmp_path)
    found = tables(made)
    assert [table["name"] for table in found] == [table.name for table, _ in by_table(made)]
    for table in found:
        lines = (tmp_path / table["dataset"] / f"{table['name']}.md").read_text().splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        for row in [table["heads"], *table["rows"]]:
            assert [str(cell).strip() for cell in row] in cells
        for more in table["further"]:
            assert all([str(cell).strip() for cell in row] in cells for row in more["rows"])


def test_worst_cases_and_certificates_are_those_of_the_tables(made: list[Run]) -> None:
    (worst,) = victims(made)
    assert worst["strongest"] == "pgd" and worst["worst_case"]["text"].endswith("(1/4)")
    (certificate,) = certificates(made)
    assert certificate["standard_0.5"]["text"].endswith("(1/4)")


def test_a_worst_case_says_what_does_not_count() -> None:
    bounded = {"choices": {"threat": "linf_10mm"}}
    made = [
        sample(identity="a", **bounded),
        sample(identity="b", access="scores", **bounded),
        sample(identity="c", access="scores", **bounded),
        sample(identity="d", access="transfer", **bounded),
    ]
    (worst,) = victims(made)
    assert worst["attacks"] == 1 and worst["counted"] == [key_of(made[0])]
    assert worst["left_out"] == [[1, "made on another network"], [2, "saw scores only"]]
    assert not worst["weak"] and worst["autoattack"]["value"] is None


def test_twin_rows_say_what_differs_and_budgets_have_a_unit() -> None:
    made = [
        sample(identity=name, choices={"attack": "pgd"}, settings={"attack": {"norm": "linf", "eps": 0.01, **more}})
        for name, more in (("a", {"steps": 10}), ("b", {"steps": 20}), ("c", {"steps": 20}))
    ]
    rows = attacks(made)
    assert [row["apart"] for row in rows] == ["steps=10", "steps=20, run b", "steps=20, run c"]
    assert all("ε=0.01 m" in row["attack"] for row in rows)
    assert attacks(made[:1])[0]["apart"] == ""


def test_charts_of_one_title_say_what_differs() -> None:
    made = [
        sample(identity=name, seeds={"model": seed}, settings={"checkpoint": name})
        for name, seed in (("a", 0), ("b", 1))
    ]
    titles = [chart["title"] for chart in charts(made) if chart["kind"] == "size"]
    assert len({*titles}) == 2 and [title.rpartition(", ")[2] for title in titles] == ["hcn s0", "hcn s1"]


def test_facts_are_said_in_words(made: list[Run]) -> None:
    found = facts(made)["utd_mhad/attack/ccc"]
    assert found["uncommitted"] and found["made"] == {
        "uncommitted changes": "yes",
        "accuracy of the weights in training": "94.0 %",
    }


def test_unchanged_clips_are_marked(made: list[Run]) -> None:
    for shown, changed in ((unchanged(), False), (of_runs(choose(made, 1))[0], True)):
        assert part_of(shown, lambda run: "no weights", "clip-0")[0]["changed"] is changed


def test_any_runs_make_a_page(made: list[Run]) -> None:
    """Certificates alone, attacks without clips, and nothing."""
    for some in ([run for run in made if run.kind == "certificate"], made[2:3], []):
        assert page(Content(some)).count("part-clip-") == 0


def test_a_curve_is_called_by_its_threat_model_and_not_by_the_limits_of_it() -> None:
    made = [
        sample(
            settings={"constraint": {"ball": {"_target_": "Ball", "eps": eps}}},
            choices={"constraint": "paper", "threat": threat},
            identity=str(eps),
        )
        for eps, threat in ((0.002, "linf_2mm"), (0.01, "linf_10mm"), (0.5, None))
    ]
    found = curve_labels(made)
    assert "linf_2mm" in found[0] and "linf_10mm" in found[1] and "constraint" not in "".join(found)


def test_copies_of_a_run_count_once(made: list[Run], tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(str(made[0].folder), tmp_path / name)
    assert len(gathered([tmp_path])) == len(gathered([tmp_path / "one", tmp_path / "two"])) == 1
    rows = tmp_path / "two/records.csv"
    rows.write_text(rows.read_text().replace("0.125", "0.25"))
    about = json.loads((tmp_path / "two/run.json").read_text())
    about.pop("rows", None)
    (tmp_path / "two/run.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match="same run"):
        gathered([tmp_path])


def test_fifty_pairs_are_small() -> None:
    """Two persons, 64 frames, 25 joints that move independently, which compresses badly."""
    rng = np.random.Generator(np.random.PCG64(0))
    total = 0
    for place in range(5):
        x = (rng.normal(size=(3, 1, 25, 2)) + rng.normal(size=(3, 64, 25, 2)).cumsum(axis=1) * 0.02).astype(np.float32)
        x_adv = x + 0.01 * rng.normal(size=x.shape).astype(np.float32)
        shown = Shown(f"{place}", NTU25, x, x_adv, np.ones((64, 25, 2), bool), 1 / 30, "m", "mm", "camera", {})
        total += len(pack(*part_of(shown, lambda run: "", f"clip-{place}")))
    assert 10 * total < 5_000_000  # pure noise; recorded clips take a third


def test_own_clip_needs_only_its_positions(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = np.random.Generator(np.random.PCG64(0)).normal(0, 0.3, size=(8, 25, 3))
    np.savez(tmp_path / "mine.npz", x=clip)
    monkeypatch.setattr(sys, "argv", ["page", "--clip", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "page")])
    main()
    content = (tmp_path / "page/index.html").read_text()
    header, arrays = unpack(re.search(r'id="part-clip-0">([^<]*)<', content)[1])  # type: ignore[index]
    assert header["name"] == "mine" and "limits" not in header
    assert np.abs(positions(header, arrays)[0][..., 0] - clip.transpose(2, 0, 1)).max() <= 0.5e-4 * (1 + 1e-3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"y": np.zeros((4, 25, 3))}, "no array x"),
        ({"x": np.zeros((4, 24, 3))}, "24 joints"),
        ({"x": np.zeros((4, 25))}, "(4, 25)"),
        ({"x": np.zeros((1, 25, 3))}, "frames"),
        ({"x": np.full((4, 25, 3), 1e6)}, "beyond"),
        ({"x": np.ones((4, 25, 3)), "x_adv": np.ones((5, 25, 3))}, "x_adv"),
        ({"x": np.ones((4, 25, 3)), "x_adv": np.full((4, 25, 3), np.nan)}, "not finite"),
        ({"x": np.ones((4, 25, 3)), "mask": np.ones((4, 24), bool)}, "mask"),
        ({"x": np.array(["a"])}, "x"),
        ({"x": np.ones((4, 3, 3)), "joints": np.array(["a", "b", "c"]), "parents": np.array([0, 5, 1])}, "parents"),
    ],
)
def test_wrong_clips_are_refused_in_one_line(content: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **content)
    with pytest.raises(DataError) as error:
        clips_of(tmp_path / "mine.npz")
    assert "mine.npz" in str(error.value) and words in str(error.value) and "\n" not in str(error.value)


ROW = {
    "dataset": "d",
    "threat": "linf_10mm",
    "victim": "v",
    "attack": "a",
    "clips": 10,
    "correct_before": 8,
    "success": 4,
}


def write(path: Path, **changes: Any) -> Path:
    content = {"format": FORMAT, "by": "Others", "reference": "a paper", "rows": [ROW]} | changes
    path.write_text(json.dumps(content))
    return path


def test_reported_results_are_marked(tmp_path: Path, made: list[Run]) -> None:
    (row,) = reported(write(tmp_path / "theirs.json"))
    assert row["reported"]["by"] == "Others" and row["success_if_right"]["text"].endswith("(4/8)")
    assert "Others" in page(Content(made[:1], clips=0, reported=[row]))
    assert victims(made)[0]["attacks"] == 1  # they enter no worst case


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "format"),
        ({"by": 3}, "by"),
        ({"extra": 1}, "extra"),
        ({"rows": [ROW | {"success": 9}]}, "success=9"),
        ({"rows": [ROW | {"correct_before": 11}]}, "correct_before=11"),
        ({"rows": [ROW | {"clips": 1.5}]}, "clips=1.5"),
        ({"rows": [ROW | {"clips": True}]}, "clips=True"),
        ({"rows": [ROW | {"victim": "a\u202eb"}]}, "victim"),
        ({"rows": [ROW | {"victim": "a" * 300}]}, "victim"),
        ({"rows": [ROW | {"rms_mm": float("nan")}]}, "rms_mm"),
        ({"rows": [{"dataset": "d"}]}, "missing"),
        ({"rows": ["text"]}, "row 1"),
    ],
)
def test_wrong_reports_are_refused_in_one_line(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        reported(write(tmp_path / "theirs.json", **changes))
    assert words in str(error.value) and "theirs.json" in str(error.value) and "\n" not in str(error.value)


def test_classes_are_named_as_in_the_tables(made: list[Run]) -> None:
    header, _ = part_of(of_runs(choose(made, 1))[0], lambda run: "no weights", "clip-0")
    assert header["label"] == CLASSES[1].replace("_", " ") and header["windows"] == {"why": "no weights"}


@pytest.mark.parametrize(
    "words", [["NOWHERE"], ["--clips", "-1"], ["--clip", "NOWHERE.npz"], ["--reported", "NOWHERE.json"]]
)
def test_mistakes_end_in_one_line(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "skeleton_adv.page", *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
