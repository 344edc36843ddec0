"""Runs read back: their facts are checked, damage is reported in one line, and runs of earlier versions load."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from samples import about, admm, certified, defended, old_form, run, six_rows, transfer, write

from skeleton_adv.core.errors import RunError
from skeleton_adv.runs.load import Run, load_run, load_runs
from skeleton_adv.runs.schema import ATTACK


def edit(folder: Path, **changes: Any) -> Path:
    """Change the facts in a run.json; None removes a fact."""
    path = folder / "run.json"
    facts = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in facts.items() if value is not None}))
    return folder


def as_before(folder: Path) -> Path:
    """A run in the format of an earlier version."""
    path = folder / "run.json"
    facts = old_form(json.loads(path.read_text()))
    path.write_text(json.dumps({k: v for k, v in facts.items() if k not in ("kind", "schema", "columns", "rows")}))
    return folder


def refused(folder: Path) -> str:
    """The line that refuses a run, which names its folder and the way out."""
    with pytest.raises(RunError) as caught:
        load_run(folder)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message and "delete the folder" in message
    return message


def test_a_run_has_its_facts(tmp_path: Path) -> None:
    made = run(folder=tmp_path / "a", settings={"targeted": True, "target": "wave", "judgements": 3})
    assert (made.kind, made.victim, made.attack, made.defense, made.surrogate) == ("attack", "hcn", "admm", None, None)
    assert (made.targeted, made.target, made.judgements, made.space) == (True, "wave", 3, "camera")
    assert made.of_attack["beta"] == 1.0 and made.aimed.all() and made.measured.all()
    assert [*made.columns] == [*made.records] and made.records["index"].tolist() == [*range(6)]
    other = defended(0.01, True, 0.5)
    assert (other.defense, other.of_defense["sigma"]) == ("noise_filter", 0.01)
    assert transfer("agcn", 0.1).surrogate == "hcn" and certified().smoothing["n"] == 1000


def test_an_unfinished_run_is_none(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", about(), six_rows())
    (folder / "run.json").unlink()
    assert load_run(folder) is None and load_runs(tmp_path) == ([], [folder])
    with pytest.raises(RunError, match=r"no run\.json.*--strict"):
        load_runs(tmp_path, strict=True)


@pytest.mark.parametrize("facts", ["{}", "[]", "null", "7", "nonsense", '{"settings": 3}', "{" * 3000, "\xff"])
def test_nonsense_instead_of_facts_gives_one_line(tmp_path: Path, facts: str) -> None:
    folder = write(tmp_path / "a", about(), six_rows())
    (folder / "run.json").write_bytes(facts.encode("latin-1"))
    refused(folder)


NEEDED = ["identity", "settings", "choices", "dataset", "command", "done", "total", "num_frames", "columns", "unit"]


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_or_mistyped_fact_is_named(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "a", about(), six_rows())
    assert name in refused(edit(folder, **{name: [3]})) and name in refused(edit(folder, **{name: None}))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["target", "targeted", "attack"])
def test_a_missing_setting_is_named(tmp_path: Path, name: str, old: bool) -> None:
    folder = write(tmp_path / "a", about(), six_rows())
    folder = as_before(folder) if old else folder
    settings = {key: value for key, value in about()["settings"].items() if key != name}
    assert f"settings.{name}" in refused(edit(folder, settings=settings))


def test_missing_options_and_unknown_kinds_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", about(), six_rows())
    assert "choices.model" in refused(edit(folder, choices={"attack": "admm", "defense": "none"}))
    assert "kind" in refused(edit(folder, kind="poem"))
    assert "schema" in refused(edit(folder, kind="attack", schema=99))


def test_any_changed_byte_of_the_rows_is_refused(tmp_path: Path) -> None:
    """In an earlier version, changes to one in nine bytes of records.csv changed a table without a message."""
    folder = write(tmp_path / "a", about(), six_rows())
    path = folder / "records.csv"
    content = path.read_bytes()
    chosen = random.Random(0)
    for _ in range(200):
        place, value = chosen.randrange(len(content)), chosen.randrange(256)
        if content[place] != value:
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            assert "digest" in refused(folder)
    path.write_bytes(content)
    assert load_run(folder) is not None


def test_damaged_rows_of_an_old_run_are_named(tmp_path: Path) -> None:
    folder = as_before(write(tmp_path / "a", about(), six_rows()))
    path = folder / "records.csv"
    header, rows = old_rows(path)
    content = write_rows(path, header, rows)
    assert load_run(folder) is not None
    path.write_text(content.replace("True", "Tr?e", 1))
    assert "clean_correct" in refused(folder)
    path.write_text(content.replace("0.125", "0.1x5", 1))
    assert "column" in refused(folder)
    path.write_text("".join(content.splitlines(keepends=True)[:-1]))
    assert "5 rows" in refused(folder)
    path.write_text(content + content.splitlines(keepends=True)[-1])
    assert "7 rows" in refused(folder)
    path.write_text(content.replace("falling", "rising", 1))
    assert "other columns" in refused(folder)
    path.write_bytes(b"")
    refused(folder)
    path.unlink()
    assert load_runs(tmp_path) == ([], [])
    assert "no records.csv" in refused(folder)


def old_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows in the order of the columns of an earlier version."""
    from skeleton_adv.runs.legacy import ATTACK_ORDER

    lines = [line.split(",") for line in path.read_text().splitlines()]
    places = [lines[0].index(name) for name in ATTACK_ORDER]
    return [*ATTACK_ORDER], [[line[place] for place in places] for line in lines[1:]]


def write_rows(path: Path, header: list[str], rows: list[list[str]]) -> str:
    content = "\n".join(",".join(line) for line in [header, *rows]) + "\n"
    path.write_text(content)
    return content


@pytest.mark.parametrize(
    "made", [admm, lambda **k: transfer("agcn", 0.1, **k), lambda **k: defended(0.01, True, 0.5, **k)]
)
def test_runs_of_an_earlier_version_have_the_same_facts(tmp_path: Path, made: Any) -> None:
    now: Run = made(folder=tmp_path / "a")
    before = load_run(reordered(as_before(tmp_path / "a")))
    assert before is not None
    for name in ("kind", "unit", "stands_for", "access", "randomised", "training", "constraints", "experiment"):
        assert getattr(before, name) == getattr(now, name), name
    assert before.records[[*now.records]].equals(now.records)


def reordered(folder: Path) -> Path:
    write_rows(folder / "records.csv", *old_rows(folder / "records.csv"))
    return folder


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"dataset": "kinetics"}, {"unit": "image", "stands_for": "Kinetics"}),
        ({"dataset": "ntu60_cv"}, {"unit": "m", "stands_for": "NTU RGB+D, cross-view"}),
        ({"dataset": "ntu120_xset"}, {"stands_for": "NTU RGB+D, cross-subject"}),
        ({"dataset": "nw_ucla"}, {"unit": "m", "stands_for": None}),
        ({"trained_noise": None}, {"training": {"name": "unknown"}}),
        ({"trained_noise": 0.25}, {"training": {"name": "noise", "sigma": 0.25}}),
        ({"settings": {"attack": {"path": "digest"}}}, {"access": "none"}),
        ({"choices": {"experiment": "films"}}, {"experiment": "films"}),
        (
            {"choices": {"defense": "mine"}, "settings": {"adaptive": False}},
            {"access": "oblivious", "randomised": False},
        ),
    ],
)
def test_facts_of_an_earlier_version_are_derived(tmp_path: Path, changes: Any, facts: dict[str, Any]) -> None:
    write(tmp_path / "a", about(**changes), six_rows())
    found = load_run(reordered(as_before(tmp_path / "a")))
    assert {name: getattr(found, name) for name in facts} == facts


def test_certificates_of_an_earlier_version(tmp_path: Path) -> None:
    now = certified(folder=tmp_path / "a")
    before = load_run(as_before(tmp_path / "a"))
    assert before is not None and before.kind == "certificate" and before.records.equals(now.records)


def test_columns_are_open_and_the_core_is_not(tmp_path: Path) -> None:
    own = run(six_rows(queries=[1, 2, 3, 4, 5, 6], lucky=[True, False] * 3), folder=tmp_path / "a")
    assert own.records["queries"].tolist() == [1, 2, 3, 4, 5, 6] and own.columns["lucky"] == "bool"
    rows = six_rows(queries=1, lucky=True)
    for row in rows[2:]:
        row.pop("queries"), row.pop("lucky")
    partly = run(rows, folder=tmp_path / "b")
    assert partly.records["queries"].isna().sum() == partly.records["lucky"].isna().sum() == 4
    columns = {name: kind for name, kind in own.columns.items() if name != "falling"}
    assert "falling" in refused(edit(tmp_path / "a", columns=columns))
    assert "other columns" in refused(edit(tmp_path / "b", columns=dict(reversed(partly.columns.items()))))
    assert {*ATTACK.columns} < {*own.columns}


def test_a_clip_may_be_named_nan(tmp_path: Path) -> None:
    found = run(six_rows(name=["nan", "NA", "1", "", "x", "true"]), folder=tmp_path / "a")
    assert found.records["name"].tolist() == ["nan", "NA", "1", "", "x", "true"]


def test_any_number_of_constraints_with_any_names(tmp_path: Path) -> None:
    one = run(
        six_rows(jerk_mean=0.5, jerk_max=1.0, jerk_ok=True),
        folder=tmp_path / "a",
        constraints={"jerk": {"symbol": "Δj", "unit": "m/s³"}},
    )
    assert one.constraints["jerk"]["unit"] == "m/s³" and one.array("jerk_max").tolist() == [1.0] * 6


def test_a_run_in_two_folders_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder, about(), six_rows())
    with pytest.raises(RunError, match=r"a and .*b are the same run"):
        load_runs(tmp_path)
    assert len(load_runs(tmp_path / "a")[0]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": {"model": "x"}},
        {"constraints": {"bone": {"symbol": 3, "unit": "share"}}},
        {"settings": {"dataset": 3}},
        {"settings": {"defense": "x"}},
        {"settings": {"checkpoint": [1]}},
        {"surrogate_training": 3},
    ],
)
def test_a_setting_of_the_wrong_type_is_reported(tmp_path: Path, changes: Any) -> None:
    made = write(tmp_path / "a", about(), six_rows())
    stated = json.loads((made / "run.json").read_text())
    stated |= changes | {"settings": stated["settings"] | changes.get("settings", {})}
    (made / "run.json").write_text(json.dumps(stated))
    with pytest.raises(RunError, match="is damaged"):
        load_run(made)


def test_compressed_rows_are_the_same_run(tmp_path: Path) -> None:
    made = run(folder=tmp_path / "run")
    rows = tmp_path / "run/records.csv"
    packed = rows.with_name("records.csv.gz")
    packed.write_bytes(gzip.compress(rows.read_bytes()))
    rows.unlink()
    (again,), unfinished = load_runs(tmp_path)
    assert again.records.equals(made.records) and not unfinished
    for damage in (b"", packed.read_bytes()[:40], b"text"):
        packed.write_bytes(damage)
        with pytest.raises(RunError, match=r"records\.csv\.gz"):
            load_runs(tmp_path)
