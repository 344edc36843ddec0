"""The command line as a user meets it."""

import json
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from skeleton_adv import __main__, tasks
from skeleton_adv.command import build, cli, recipes, targets
from skeleton_adv.command.job import Job, find_checkpoint
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.victim import build_network, save_weights
from skeleton_adv.report.stats import flat
from skeleton_adv.runs.folder import read_json
from skeleton_adv.tables import TABLES
from skeleton_adv.tasks.checks import check_access, check_defense, check_recipe, check_smoothing, check_target
from skeleton_adv.tasks.resume import trained_network

recipes.register()  # Hydra offers them to whatever is composed here
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str, module: str = "skeleton_adv") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def place(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a small victim, and the arguments of a short attack on it."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    network = build_network(lambda **facts: HCN(fc7=16, **facts), CenterPerFrame, UTDMHAD(str(mat_folder)))
    facts = {"num_joints": 20, "num_classes": 27, "num_frames": 32}
    network.model = HCN(fc7=16, **facts)
    save_weights(network, folder / "small.safetensors", {"test_accuracy": 0.1})
    arguments = ["dataset=utd_mhad", f"dataset.root={mat_folder}", "model.architecture.fc7=16", "batch_size=2"]
    arguments += ["model.checkpoint=small.safetensors", "attack.outer_steps=5", "attack.inner_steps=2"]
    return folder, arguments


def test_help_is_plain_and_fast_and_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['x', '--help']; from skeleton_adv.__main__ import main; main();"
        "assert 'torch' not in sys.modules"
    )
    seconds = []
    for _ in range(3):  # the best of three: tests may share the machine
        began = time.monotonic()
        answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        seconds.append(time.monotonic() - began)
        assert answer.returncode == 0, answer.stderr
    assert min(seconds) < 2
    for word in ("attack=", "admm_released", "utd_mhad", "batch_size", "runtime:", "--cfg job"):
        assert word in answer.stdout


def test_every_option_has_a_title_in_plain_words() -> None:
    titles = [title for options in cli.groups().values() for title in options.values()]
    assert len(titles) >= 12 and all(len(title) > 8 and not title.startswith("#") for title in titles)


def options() -> list[str]:
    choices = [f"{group}={option}" for group, found in cli.groups().items() for option in found]
    return [choice for choice in choices if not choice.startswith("experiment=")]


@pytest.mark.parametrize("choice", options())
def test_every_config_is_instantiable(choice: str) -> None:
    needed = ["attack.path=somewhere"] if choice == "attack=from_file" else []
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config", [choice, *needed])
    job = build.build_job(config, {}, [], [])
    assert job.task in ("attack", "certify", "train", "prepare", "export") and callable(job.attack)


@pytest.mark.parametrize("experiment", list(cli.groups()["experiment"]))
def test_every_experiment_sets_and_sweeps_what_exists(experiment: str) -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config", [f"experiment={experiment}"], return_hydra_config=True)
    own: Any = OmegaConf.to_container(OmegaConf.load(cli.CONF / f"experiment/{experiment}.yaml"), resolve=False)
    swept = own.pop("hydra", {}).get("sweeper", {}).get("params", {})
    assert own.pop("experiment") == config.experiment == experiment
    assert config.hydra.mode.name == "MULTIRUN"  # so that any value may be several
    own.pop("defaults", None)
    composed = flat(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
    assert {key: composed[key] for key in flat(own)} == flat(own)  # nothing else has the last word
    cli.check_arguments(["-m", f"experiment={experiment}", *(f"{key}={value}" for key, value in swept.items())])
    assert all({*table.swept} == {*swept} for table in TABLES if table.name == experiment)


def test_every_command_of_the_reference_is_one_that_the_program_takes() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "make_reference.py"))
    for command in script["commands"]("data/utd_mhad", script["CPU"]):
        cli.check_arguments(command.split())
        taken = get_args_parser().parse_args(cli.flags_last(command.split()))
        assert taken.overrides == [word for word in command.split() if word != "-m"]
        assert taken.multirun is ("-m" in command.split())


def test_flags_may_stand_anywhere(tmp_path: Path) -> None:
    given = ["attack.beta=0.1", "--cfg", "job", "seed=1", "--resolve", "model=hcn"]
    assert cli.flags_last(given) == ["attack.beta=0.1", "seed=1", "model=hcn", "--cfg", "job", "--resolve"]
    answer = run(tmp_path, *given)
    assert answer.returncode == 0 and "seed: 1" in answer.stdout, answer.stderr


MISTAKES = [
    (["atack=admm"], "unknown key 'atack': did you mean 'attack'?"),
    (["attack=adm"], "attack=adm is not an option: did you mean 'admm'?"),
    (["dataset=utd"], "did you mean 'utd_mhad'?"),
    (["attack.bta=3"], "unknown key 'attack.bta': did you mean 'attack.beta'?"),
    (["runtime.devise=cpu"], "did you mean 'runtime.device'?"),
    (["attack.beta=0.1,1", "-m", "sed=1"], "unknown key 'sed': did you mean 'seed'?"),
    (["--cgf"], "unknown option '--cgf': did you mean '--cfg'?"),
    (["-m", "--cfg", "job"], "-m and --cfg exclude each other: give one of them"),
    (["recipe=null"], "recipe=null is not an option"),
    (["-m", "attack=glob(*)"], "names no values that can be run one by one"),
    (["-m", "attack.beta=range(1,0)"], "names no values that can be run one by one"),
    (["-m", "attack.beta=interval(0,1)"], "names no values that can be run one by one"),
    (["attack.beta"], "not of the form key=value"),
    (["attack.beta=0.1", "model=hcn,agn", "-m"], "model=agn is not an option"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda v: str(v)[:30])
def test_a_misspelt_name_gets_the_nearest(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        cli.check_arguments(arguments)
    assert message in str(caught.value)


VALUES = [
    ("attack.beta=-3", "attack.beta=-3 is out of range: it must lie in (0, inf)"),
    ("attack.beta=abc", "attack.beta='abc' must be a number"),
    ("attack.outer_steps=1.5", "attack.outer_steps=1.5 must be a whole number"),
    ("attack.keep=bets", "attack.keep=bets is not a choice: did you mean 'best'?"),
    ("constraint.bone.eps=-1", "constraint.bone.eps=-1 is out of range"),
    ("batch_size=0", "batch_size=0 is out of range"),
    ("targeted=maybe", "targeted='maybe' must be true or false"),
    ("+attack.bta=1", "unknown key 'attack.bta': did you mean 'beta'?"),
    ("+nonsense=1", "unknown key 'nonsense'"),
    ("dataset.num_frames=0", "dataset.num_frames=0 is out of range"),
    ("model.architecture.motion=none", "model.architecture.motion=none is not a choice"),
    ("runtime.limit=0", "runtime.limit=0 is out of range"),
]


@pytest.mark.parametrize(("override", "message"), VALUES)
def test_a_value_out_of_range_is_named(override: str, message: str) -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config", [override])
    with pytest.raises(SettingError) as caught:
        build.build_job(config, {}, [override], [override])
    assert message in str(caught.value)


def job_of(overrides: list[str]) -> Job:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        choices = compose("config", overrides, return_hydra_config=True).hydra.runtime.choices
        job: Job = build.build_job(compose("config", overrides), dict(choices), overrides, overrides)
    return job


def test_noise_that_grows_and_a_choice_of_epochs_exclude_each_other() -> None:
    overrides = ["task=train", "dataset=utd_mhad", "model.noise=0.25", "recipe.noise_warmup=0.5"]
    job = job_of(overrides)
    assert job.recipe is not None
    with pytest.raises(SettingError, match=r"recipe\.held_out=0\.1 may choose epochs before"):
        check_recipe(job, job.recipe)
    still = job_of([*overrides, "model.noise=0"])
    assert still.recipe is not None
    check_recipe(still, still.recipe)


def test_a_typed_network_without_weights_gets_no_wrong_advice(tmp_path: Path) -> None:
    words = ["model.architecture._target_=skeleton_adv.models.hcn.HCN", f"runtime.checkpoint_dir={tmp_path}"]
    with pytest.raises(CheckpointError, match="train it with task=train and the same words"):
        find_checkpoint(job_of(words))


def test_what_is_typed_in_an_options_place_goes_by_its_own_name() -> None:
    place = "skeleton_adv.defenses.noise_filter.NoiseFilter"
    job = job_of([f"defense._target_={place}", "+defense.sigma=0.05", "adaptive=false"])
    check_access(job)  # there is a defense that an attack may be unaware of
    assert job.choices["defense"] == place and job.choices["attack"] == "admm"


VARIANTS = [
    (["defense=temporal_filter", "defense.sigma=0.01"], "noise_filter"),
    (["defense=noise_filter", "defense.taps=null"], "noise"),
    (["defense=noise_filter", "defense.sigma=0"], "temporal_filter"),
    (["defense=noise", "defense.sigma=0"], "none"),
    (["defense=temporal_filter", "~defense.sigma"], "noise_filter"),  # the call's own default
]


@pytest.mark.parametrize(("overrides", "meant"), VARIANTS, ids=str)
def test_a_defense_is_what_its_name_says(overrides: list[str], meant: str) -> None:
    with pytest.raises(SettingError, match=rf"is defense={meant}: choose that one"):
        check_defense(job_of(overrides))
    for option in ("none", "noise", "noise_filter", "temporal_filter"):
        check_defense(job_of([f"defense={option}"]))


def test_a_defense_of_ones_own_may_have_the_name_of_ours() -> None:
    job = job_of(["defense=none"])
    check_defense(replace(job, choices={**job.choices, "defense": "temporal_filter"}))  # as from --config-dir


def test_commands_can_be_given_again() -> None:
    job = job_of(["model.seed=77", "targeted=true", "target='massaging person\\'s head'", "attack.beta=2"])
    assert job.target == "massaging person's head"
    words = shlex.split(job.command)[3:]
    assert job_of(words).target == job.target and words[-1] == "attack.beta=2"
    with pytest.raises(CheckpointError, match="train it with"):
        find_checkpoint(job)


CERTIFY = ["task=certify", "model.noise=0.25"]
IDLE = [
    (["attack=from_file", "attack.path=x", "targeted=true", "target=least_likely"], check_target, "another victim"),
    ([*CERTIFY, "targeted=true"], check_smoothing, "targeted=true has no effect on task=certify"),
    ([*CERTIFY, "adaptive=false"], check_smoothing, "adaptive=false has no effect on task=certify"),
    ([*CERTIFY, "model@surrogate=hcn"], check_smoothing, "a surrogate has no effect on task=certify"),
    (
        ["task=train", "dataset=synthetic_kinetics", "recipe=hcn/synthetic_cs"],
        lambda job: check_recipe(job, job.recipe),
        r"set recipe.rotation=[0,0,0]",
    ),
]


@pytest.mark.parametrize(("overrides", "check", "message"), IDLE, ids=range(len(IDLE)))
def test_a_setting_that_cannot_mean_anything_is_refused(
    overrides: list[str], check: Callable[[Job], None], message: str
) -> None:
    with pytest.raises(SettingError) as caught:
        check(job_of(overrides))
    assert message in str(caught.value)


def test_the_way_to_weights_that_are_missing_keeps_the_shape_of_the_data(tmp_path: Path) -> None:
    overrides = ["model=agcn_small", "dataset.num_actions=7", "dataset.num_persons=1", "dataset.space=normalised"]
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(job_of([*overrides, f"runtime.checkpoint_dir={tmp_path}"]))
    assert f"task=train model=agcn_small dataset=synthetic_cs {' '.join(overrides[1:])} model.seed=0" in str(
        caught.value
    )


def test_nothing_outside_the_package_is_made_unless_asked_for() -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config", ["defense._target_=os.system", "+defense.command=true"])
    with pytest.raises(SettingError, match=r"defense\._target_=os\.system lies outside skeleton_adv"):
        build.build_job(config, {}, [], [])
    for word in ("dataset.name=os.system", "defense.command=os.system", "defense._target_=os.systemd"):
        with pytest.raises(SettingError, match=r"defense\._target_=os\.system lies outside skeleton_adv"):
            build.build_job(config, {}, [word], [word])
    with pytest.raises(SettingError, match=r"lies outside skeleton_adv"):  # swept by a file, not typed
        build.build_job(config, {}, ["defense._target_=os.system"], [])


def test_mistakes_are_one_line_and_write_nothing(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    _, arguments = place
    for mistake in ("attack.bta=1", "attack.beta=-3", "target=thorw", "model.checkpoint=gone.safetensors"):
        answer = run(tmp_path, *arguments, "targeted=true", mistake)
        assert answer.returncode == 2 and answer.stdout == ""
        assert answer.stderr.count("\n") == 1 and answer.stderr.startswith("error: "), answer.stderr
    assert not list(tmp_path.rglob("records.csv"))


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(next(folder.rglob("records.csv"))).drop(columns="seconds")


def test_attack_resume_and_repeat(place: tuple[Path, list[str]]) -> None:
    """kill -9 in mid-run, a cut row, the same command: the rows of an undisturbed run; then a no-op."""
    folder, arguments = place
    whole = run(folder, *arguments, "runtime.output_dir=whole")
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
    if not (records.parent / "run.json").exists():  # killed before its end, as meant
        records.write_bytes(records.read_bytes()[:-5])
    again = run(folder, *slow)
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(rows(folder / "whole"), rows(folder / "killed"))
    before = {path: path.stat().st_mtime_ns for path in (folder / "killed").rglob("*.*")}
    records = next((folder / "killed").rglob("records.csv"))
    records.parents[2].rename(records.parents[2].with_name("admm_of_old"))  # the same numbers by another name
    other = run(folder, *slow)
    assert other.returncode == 2 and "the same was run under other names, in killed/" in other.stderr
    records.parents[2].with_name("admm_of_old").rename(records.parents[2])
    repeat = run(folder, *slow)
    assert repeat.returncode == 0 and "nothing to do: 12 of 12" in repeat.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "killed").rglob("*.*")}


def test_experiment_runs_its_grid_and_writes_its_table(place: tuple[Path, list[str]]) -> None:
    folder, arguments = place
    short = ["runtime.limit=4", "attack.outer_steps=1", "runtime.output_dir=grid", "runtime.table_dir=tables"]
    answer = run(folder, *arguments, *short, "experiment=table1")
    assert answer.returncode == 0, answer.stderr
    table = pd.read_csv(folder / "tables/utd_mhad/table1.csv")
    assert len(table) == 6 and (table["clips"] == 4).all() and (table["test_clips"] == 12).all()
    assert sorted(zip(table["setting"], table["beta"], strict=True)) == sorted(
        (setting, beta) for setting in ("targeted", "untargeted") for beta in (0.1, 1, 10)
    )
    summaries: list[dict[str, Any]] = [json.loads(path.read_text()) for path in (folder / "grid").rglob("run.json")]
    assert len(summaries) == 6 and {summary["done"] for summary in summaries} == {4}
    assert all("root" not in summary["command"] for summary in summaries)
    tables = run(folder, "grid", "--out", "again", module="skeleton_adv.tables")
    assert tables.returncode == 0, tables.stderr
    for kind in ("md", "tex", "csv"):
        name = f"utd_mhad/table1.{kind}"
        assert (folder / "tables" / name).read_text() == (folder / "again" / name).read_text()
    next((folder / "grid").rglob("run.json")).unlink()
    refused = run(folder, "grid", module="skeleton_adv.tables")
    assert refused.returncode == 2 and "no run.json" in refused.stderr and refused.stderr.count("\n") == 1


def test_training_writes_weights_that_the_attack_finds(mat_folder: Path, tmp_path: Path) -> None:
    common = ["dataset=utd_mhad", f"dataset.root={mat_folder}", "model.architecture.fc7=16"]
    training = [*common, "task=train", "recipe.epochs=1", "recipe.batch_size=6"]
    first = run(tmp_path, *training)
    assert first.returncode == 0, first.stderr
    about = json.loads((tmp_path / "outputs/checkpoints/utd_mhad/hcn_t32_k27_s0.json").read_text())
    assert about["test_clips"] == 12 and 0 <= about["test_accuracy"] <= 1 and len(about["settings"]["prepared"]) == 64
    assert "nothing to do" in run(tmp_path, *training).stderr
    other = run(tmp_path, *training, "recipe.lr=0.01")
    assert other.returncode == 2 and "trained otherwise" in other.stderr
    attack = run(tmp_path, *common, "attack.outer_steps=1", "runtime.limit=2", "batch_size=2")
    assert attack.returncode == 0 and "2 of 12" in attack.stdout, attack.stderr


ONE_LINERS = [
    (["attack.beta=0.1,1"], "names several values: add -m"),
    (["recipe.rotation=[1,2]", "recipe=hcn/utd_mhad"], "recipe.rotation=[1, 2] must hold three angles"),
    (["recipe.rotation=[a,b,c]", "recipe=hcn/utd_mhad"], "recipe.rotation"),
    (["model.architecture=null"], "model.architecture=None is none"),
    (["~dataset.root"], "dataset.root is missing"),
    (["runtime=null"], "runtime=None must hold settings"),
    (["hydra.verbos=1"], "hydra.verbos"),
    (["--config-dir", "/nowhere"], "--config-dir /nowhere is not a folder"),
    (["defense=null"], "defense=null is not an option"),
    (["+attack.targeted=true"], "attack.targeted is not a setting"),
    (["+attack.model=3"], "attack.model is not a setting"),
    (["+model.architecture.num_joints=3"], "model.architecture.num_joints is not a setting"),
    (["~constraint.speed"], "must hold bone, angle and speed"),
    (["constraint.bone=null"], "must hold bone, angle and speed"),
    (["target=wave"], "no effect on an untargeted attack"),
    (["attack._target_=3"], "attack._target_=3"),
    (["batch_size=99999999999999999999"], "batch_size=99999999999999999999 is out of range"),
    (["runtime.output_dir="], "runtime.output_dir is empty"),
    (["runtime.cache_dir=/proc/nowhere"], "; runtime.cache_dir can name another place"),
]


@pytest.mark.parametrize(("arguments", "message"), ONE_LINERS, ids=lambda v: str(v)[:40])
def test_other_mistakes_are_one_line_too(
    arguments: list[str],
    message: str,
    mat_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole program, but in this process, because to start another takes longer than all that it does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["skeleton_adv", "dataset=utd_mhad", f"dataset.root={mat_folder}", *arguments])
    monkeypatch.setattr(__main__, "_failed", [])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and message in said and said.count("\n") == 1, said
    assert not list(tmp_path.rglob("records.csv"))


def test_a_folder_without_test_clips_is_named(mat_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(mat_folder, tmp_path / "data", ignore=shutil.ignore_patterns("*_s2_*", "*_s4_*"))
    answer = run(tmp_path, "dataset=utd_mhad", "dataset.root=data")
    assert answer.returncode == 2 and "none of its 12 clips is a test clip" in answer.stderr
    assert answer.stderr.count("\n") == 1 and not list(tmp_path.rglob("run*"))


def test_a_folder_of_ones_own_options(tmp_path: Path) -> None:
    """--config-dir: its files are options, are checked as ours, and may not make Hydra run anything."""
    for group in ("attack", "experiment"):
        (tmp_path / "my conf" / group).mkdir(parents=True)
    own = ["--config-dir", str(tmp_path / "my conf")]
    shutil.copy(cli.CONF / "attack/admm.yaml", tmp_path / "my conf/attack/mine.yaml")
    cli.check_arguments([*own, "attack=mine", "attack.beta=3"])
    with pytest.raises(SettingError, match=r"unknown key 'attack\.bta': did you mean 'attack\.beta'"):
        cli.check_arguments([*own, "attack=mine", "attack.bta=3"])
    with pytest.raises(SettingError, match="attack=mine is not an option"):
        cli.check_arguments(["attack=mine"])
    theirs = tmp_path / "my conf/experiment/theirs.yaml"
    theirs.write_text("# @package _global_\nhydra:\n  callbacks:\n    one:\n      _target_: os.system\n")
    with pytest.raises(SettingError, match=r"sets hydra\.callbacks in its file"):
        cli.check_arguments([*own, "experiment=theirs"])
    theirs.write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      defense._target_: os.system\n"
    )
    answer = run(tmp_path, *own, "experiment=theirs")
    assert answer.returncode == 2 and "os.system lies outside skeleton_adv" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_weights_are_written_where_they_can_be_read_again(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    answer = run(tmp_path, *place[1], "task=train", "model.checkpoint=weights.pt")
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
    network = build_network(job.model.architecture, job.model.preprocess, job.dataset)
    told: list[tuple[dict[str, Any], bool | None, str]] = [
        ({"dataset": "utd_mhad", "settings": {"prepared": prepared.digest}}, True, ""),
        ({"dataset": "utd_mhad", "settings": {"prepared": "0123"}}, False, "was trained on another utd_mhad"),
        ({"dataset": "utd_mhad"}, None, ""),
        ({"dataset": "ntu60_cs"}, False, "was trained on ntu60_cs:"),
        ({"settings": {"prepared": "0123"}}, False, "was trained on other clips:"),
        ({}, None, ""),
    ]
    for about, here, warning in told:
        save_weights(network, path, about)
        assert trained_network(job, "model", path, prepared)[1]["trained_here"] is here
        said = capsys.readouterr().err
        assert warning in said and ("was trained on" in said) is (here is False)


SMUGGLED = [
    {"_target_": "skeleton_adv.victim.torch.load", "f": "evil.pt"},
    {"_target_": "skeleton_adv.records.Path.write_text", "_args_": ["x"]},
    {"_target_": "skeleton_adv.defenses.none", "_args_": ["x"], "_partial_": True},
    {"_target_": "skeleton_adv.defenses.none", "_partial_": True, "network": "${oc.create:{_target_:os.system}}"},
]


@pytest.mark.parametrize("node", SMUGGLED, ids=str)
def test_no_way_round_the_guard(node: dict[str, Any]) -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config")
    config = OmegaConf.create({**OmegaConf.to_container(config, resolve=True), "defense": {}})  # type: ignore[dict-item]
    settings: Any = OmegaConf.to_container(config)
    settings["defense"] = node
    with pytest.raises(SettingError):
        targets.check_targets(settings, {})


def test_identity_holds_all_that_changes_a_number_and_nothing_else(
    place: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run each; folders differ if and only if a number could."""
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
    answer = run(tmp_path, "task=export", f"dataset={made}", "runtime.limit=3", actions)
    assert answer.returncode == 0 and "6 clips are in" in answer.stderr
    folder = f"dataset.root=outputs/files/{made}"
    answer = run(tmp_path, "task=prepare", f"dataset={read}", folder, actions)
    assert answer.returncode == 0 and "3 training and 3 test clips of 5 actions" in answer.stderr


def test_the_shipped_victim_is_the_one_that_its_recipe_trains(tmp_path: Path) -> None:
    """A change of generator, model or recipe that is not followed by a training shows here."""
    shipped = f"runtime.checkpoint_dir={Path(__file__).parents[2] / 'outputs/checkpoints'}"
    answer = run(tmp_path, "task=train", shipped)
    assert answer.returncode == 0 and "nothing to do" in answer.stderr


def test_saved_clips_are_judged_again(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, arguments = place
    short = [*arguments, "runtime.limit=3", f"runtime.output_dir={tmp_path}"]
    assert run(folder, *short).returncode == 0
    first = run(folder, *short, "runtime.save_clips=true")  # the records stand, the clips do not yet
    assert first.returncode == 0 and "nothing to do" not in first.stderr
    assert "nothing to do" in run(folder, *short, "runtime.save_clips=true").stderr
    (made,) = (path.parent for path in tmp_path.rglob("run.json"))
    rest = [a for a in short if not a.startswith("attack.")]
    again = run(folder, *rest, "attack=from_file", f"attack.path={made}")
    assert again.returncode == 0, again.stderr
    (judged,) = (path for path in tmp_path.rglob("records.csv") if path.parent != made)
    before, after = pd.read_csv(made / "records.csv"), pd.read_csv(judged)
    same = [name for name in before if name not in ("found", "forwards", "gradients", "seconds")]
    pd.testing.assert_frame_equal(before[same], after[same], check_exact=True)
    assert (after["forwards"] == 1).all() and (after["gradients"] == 0).all()
    for change, message in (
        ("targeted=true", "was made with target=None, not random"),
        ("dataset.num_frames=48", "was made with dataset.num_frames=32, not 48"),
        ("runtime.limit=4", "holds 3 clips, but not number"),
        ("attack.path=nowhere", "is no finished run"),
    ):
        refused = run(folder, *rest, "attack=from_file", f"attack.path={made}", change)
        assert refused.returncode == 2 and message in refused.stderr and refused.stderr.count("\n") == 1


def test_the_course_of_an_attack_is_kept_and_drawn(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, arguments = place
    short = [*arguments, "runtime.limit=3", f"runtime.output_dir={tmp_path}/runs", f"runtime.figure_dir={tmp_path}/out"]
    plain = run(folder, *short)
    assert plain.returncode == 0, plain.stderr
    (records,) = tmp_path.rglob("records.csv")
    before, provenance = pd.read_csv(records), read_json(records.with_name("run.json"))
    drawn = run(folder, *short, "experiment=figure3", "targeted=false")
    assert drawn.returncode == 0 and "nothing to do" not in drawn.stderr, drawn.stderr
    assert read_json(records.with_name("run.json")) == provenance  # the rows are still those of the first command
    assert list(tmp_path.rglob("records.csv")) == [records]  # keeping the course is no other run
    pd.testing.assert_frame_equal(pd.read_csv(records), before, check_exact=True)
    course = pd.read_csv(tmp_path / "out/utd_mhad/figure3_hcn_admm_beta1_untargeted.csv")
    assert course["step"].tolist() == list(range(1, 11)) and (course["clips"] == 3).all()
    assert (course[["bone", "angle", "speed"]].iloc[0] == 0).all() and (course["bone"].iloc[1:] > 0).all()
    film = run(
        folder,
        f"{tmp_path}/runs",
        "--clip",
        before["name"][0],
        "--out",
        f"{tmp_path}/film",
        module="skeleton_adv.figures",
    )
    assert film.returncode == 0 and film.stdout.count("\n") == 4 and ".gif" in film.stdout, film.stderr
    refused = run(folder, *[a for a in short if "attack." not in a], "attack=cw", "runtime.save_trace=true")
    assert refused.returncode == 2 and "attack=cw keeps no trace" in refused.stderr and refused.stderr.count("\n") == 1
