"""The command line, before any work starts."""

import runpy
import shutil
import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from commands import forked, run
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from jobs import job_of
from omegaconf import OmegaConf
from options import chosen, options

from skeleton_adv import __main__, tasks
from skeleton_adv.command import cli
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.files import write_json


def test_help_is_plain_and_fast_and_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['x', '--help']; from skeleton_adv.__main__ import main; main();"
        "assert 'torch' not in sys.modules"
    )
    seconds = []
    for _ in range(3):  # the best of three, because tests may share the machine
        began = time.monotonic()
        answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        seconds.append(time.monotonic() - began)
        assert answer.returncode == 0, answer.stderr
    imports = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import hydra, omegaconf"], check=True)
        imports.append(time.monotonic() - began)
    assert min(seconds) < max(2, 0.5 + 8 * min(imports))  # a slow machine may take longer than 2 s
    for word in ("attack=", "admm_released", "utd_mhad", "batch_size", "runtime:", "--cfg job"):
        assert word in answer.stdout


def test_every_option_has_a_title() -> None:
    titles = [title for options in cli.groups().values() for title in options.values()]
    assert len(titles) >= 12 and all(len(title) > 8 and not title.startswith("#") for title in titles)


def commands() -> list[str]:
    """Commands that together choose every option, one of each group at a time; recipes have their own tests."""
    own = {
        "attack=from_file": "attack=from_file attack.path=somewhere",
        "attack=projected": "attack=projected attack.path=somewhere",
        "model=own": "model=own model.architecture._target_=own.Net",
        "model=ensemble": "model=ensemble model.members=[hcn,agcn]",
        "training=saved": "training=saved training.clips=somewhere",
    }
    groups = {
        group: [own.get(f"{group}={name}", f"{group}={name}") for name in found]
        for group, found in cli.groups().items()
        if group not in ("constraint", "detector", "experiment", "recipe", "task", "threat")
    }
    rows = zip_longest(*groups.values())
    images = "dataset=synthetic_kinetics"
    judged = {"detect": " judged=RUN", "identify": " judged=RUN"}
    alone = [f"task={name}{judged.get(name, '')}" for name in cli.groups()["task"]]
    alone += [f"constraint={name}" for name in cli.groups()["constraint"]]
    alone += [f"task=detect judged=RUN detector={name}" for name in cli.groups()["detector"]]
    alone += [f"threat={name}" + f" {images}" * name.startswith("image") for name in cli.groups()["threat"]]
    return [" ".join(filter(None, row)) for row in rows] + alone


@pytest.mark.cases(60)
@pytest.mark.parametrize("command", commands())
def test_every_config_is_instantiable(command: str) -> None:
    """Tests read options without Hydra, which is faster; here, both read the same."""
    job = job_of(command.split())
    assert job.name in tasks.names() and callable(job.task.run)
    for group in ("attack", "model", "defense", "training") if "threat=" not in command else ():
        option = job.choices.get(group)
        if option in options(group) and f"{group}={option}" in command.split() and "constraint=" not in command:
            assert job.settings[group] == chosen(group, option)


def leaves(settings: Any, key: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(settings, dict):
        return [(key, settings)]
    return [leaf for name, part in settings.items() for leaf in leaves(part, (*key, name))]


# The words without which an experiment does not run.
REQUIRED = {name: ["judged=RUN"] for name in ("detection", "identification")}


@pytest.mark.cases(6)
@pytest.mark.parametrize("experiment", list(cli.groups()["experiment"]))
def test_every_experiment_sets_and_sweeps_existing_keys(experiment: str) -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config", [f"experiment={experiment}"], return_hydra_config=True)
    own: Any = OmegaConf.to_container(OmegaConf.load(cli.CONF / f"experiment/{experiment}.yaml"), resolve=False)
    swept = own.pop("hydra", {}).get("sweeper", {}).get("params", {})
    assert own.pop("experiment") == config.experiment == experiment
    assert config.hydra.mode.name == "MULTIRUN"  # so that any value may be several
    own.pop("defaults", None)
    composed: Any = OmegaConf.to_container(config, resolve=False)
    for key, value in leaves(own):  # nothing else has the last word
        node = composed
        for part in key:
            node = node[part]
        assert node == value, key
    words = [*REQUIRED.get(experiment, ()), *(f"{key}={value}" for key, value in swept.items())]
    cli.check_arguments(["-m", f"experiment={experiment}", *words])


SCRIPTS = Path(__file__).parents[2] / "scripts"


OPTIONS = ("attack", "dataset", "defense", "detector", "model", "threat", "training")
SIZES = ("batch_size", "dataset.root", "fit_on", "judged", "model.seed", "runtime.limit", "surrogate.seed")


@pytest.mark.more
def test_every_command_of_the_reference_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option exists, and commands with further keys compose: one for each experiment and set of keys."""
    monkeypatch.syspath_prepend(SCRIPTS)
    script, groups = runpy.run_path(str(SCRIPTS / "make_reference.py")), cli.groups()
    kinds: dict[frozenset[str], list[str]] = {}
    for command in script["commands"]("data/utd_mhad", "data/hdm05", script["CPU"]):
        words = cli.translated(command.split())
        taken = get_args_parser().parse_args(cli.for_hydra(words))
        assert taken.overrides == [word for word in words if word != "-m"]
        assert taken.multirun is ("-m" in words)
        pairs = [word.partition("=")[::2] for word in words]
        chosen = {key.partition("@")[0]: value.split(",") for key, value in pairs}
        assert [name for group in OPTIONS for name in chosen.get(group, ()) if name not in groups[group]] == []
        own = [key for key, _ in pairs if key.partition("@")[0] not in (*OPTIONS, *SIZES, "-m", "experiment", "task")]
        if own:  # composing every command takes minutes; other tests cover experiments and options
            kinds.setdefault(frozenset((*own, chosen.get("experiment", chosen.get("task", [""]))[0])), words)
    assert len(kinds) > 20
    for words in kinds.values():
        cli.check_arguments([word.partition(",")[0] if word.startswith("model=") else word for word in words])


def test_the_reference_covers_the_papers_detectors_and_comparable_defenses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    script = runpy.run_path(str(SCRIPTS / "make_reference.py"))
    listed = [frozenset(one.split()) for one in script["commands"]("utd", "hdm", script["CPU"])]
    tables = {"detector=mlp,lstm", "detector.representative=medoid,centroid", "detector.distance=l2,cosine"}
    assert sum(tables <= words for words in listed) == 2  # targeted and untargeted
    alone = [words for words in listed if "bones=alone" in words]
    assert alone and all("distance=l2" in words for words in alone)  # the cosine removes the size of a body
    filtered = [words - {"experiment=defenses_admm"} for words in listed if "experiment=defenses_admm" in words]
    filtered = [words for words in filtered if not any(word.startswith(("defense=", "training=")) for word in words)]
    assert len(filtered) == 3 and all(
        any(words | {"experiment=defenses", "adaptive=false"} < other for other in listed) for words in filtered
    )
    assert {"defense.eot=20"} <= frozenset().union(*listed)
    costly = {"training=adversarial", "training=trades"}
    assert not any(costly & words for words in listed)
    assert any(costly & {*one.split()} for one in script["commands"]("utd", "hdm", script["GPU"]))


def test_costs_of_the_reference_are_those_of_finished_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cells of a command are its sweep; the rest is estimated by the victims' times."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.chdir(SCRIPTS.parent)
    costs = runpy.run_path(str(SCRIPTS / "costs.py"))
    monkeypatch.setitem(costs["Costs"].__init__.__globals__, "REFERENCE", tmp_path)
    monkeypatch.setitem(costs["Costs"].__init__.__globals__, "CHECKPOINTS", tmp_path)
    (tmp_path / "victims.csv").write_text("victim,both_ms\nhcn,2\nhcn,4\nsgn,9\n")
    for number, (beta, targeted) in enumerate([("0.1", "False"), ("10", "True")]):
        words = f"targeted={targeted} attack.beta={beta} experiment=table1 model=hcn batch_size=10 runtime.limit=10"
        facts = {"command": f"python -m skeleton_adv {words}", "done": 10, "seconds": 60.0 + 120 * number}
        write_json(tmp_path / "runs" / str(number) / "run.json", facts)
    made = costs["Costs"](tmp_path / "runs")
    command = "experiment=table1 model=hcn dataset.root=x batch_size=10 runtime.limit=10"
    assert made.line(command) == "2 of 6 finished, 4 min of one core, 4 more take about 8 min"
    assert made.line(f"{command} attack.beta=10") == "1 of 2 finished, 3 min of one core, 1 more take about 2 min"
    # Another victim takes three times as long per pass, and has five times as many clips.
    longer = "experiment=table1 attack.beta=0.1 targeted=true model=sgn batch_size=25 runtime.limit=50"
    sgn = made.line(longer)
    assert sgn == "0 of 1 finished, 1 more take about 30 min"
    # Clips that were kept for other victims say nothing about a white box.
    words = "experiment=table1 model@surrogate=hcn model=sgn batch_size=10 runtime.limit=10"
    facts = {"command": f"python -m skeleton_adv {words}", "done": 10, "seconds": 0.1}
    write_json(tmp_path / "runs" / "transfer" / "run.json", facts)
    assert costs["Costs"](tmp_path / "runs").line(longer) == sgn
    assert made.line("attack=pgd") == "0 of 1 finished, 1 cannot be estimated"
    # A run without a limit takes all test clips, which the weights of its dataset count.
    facts = {"command": "python -m skeleton_adv task=train dataset=own model=hcn", "test_clips": 40, "seconds": 5.0}
    write_json(tmp_path / "own" / "hcn.json", facts)
    whole = "experiment=table1 dataset=own attack.beta=0.1 targeted=true"
    assert costs["Costs"](tmp_path / "runs").line(whole) == "0 of 1 finished, 1 more take about 8 min"
    assert made.line(whole) == "0 of 1 finished, 1 cannot be estimated"
    assert made.line("experiment=films targeted=true") == made.line("attack.beta=0.1 targeted=true runtime.limit=16")


def test_flags_may_be_anywhere(tmp_path: Path) -> None:
    given = ["attack.beta=0.1", "--cfg", "job", "seed=1", "--resolve", "model=hcn"]
    assert cli.for_hydra(given) == ["attack.beta=0.1", "seed=1", "model=hcn", "--cfg", "job", "--resolve"]
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
    (["-m", "--cfg", "job"], "-m and --cfg cannot be combined"),
    (["recipe=null"], "recipe=null is not an option"),
    (["-m", "attack=glob(*)"], "attack=glob(*) is not a list of values"),
    (["-m", "attack.beta=range(1,0)"], "attack.beta=range(1,0) is not a list of values"),
    (["-m", "attack.beta=interval(0,1)"], "attack.beta=interval(0,1) is not a list of values"),
    (["attack.beta"], "must have the form key=value"),
    (["attack.beta=0.1", "model=hcn,agn", "-m"], "model=agn is not an option"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda v: str(v)[:30])
def test_a_misspelt_name_gets_a_suggestion(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        cli.check_arguments(arguments)
    assert message in str(caught.value)


def test_mistakes_give_one_line_and_write_no_file(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    _, arguments = place
    for mistake in ("attack.bta=1", "attack.beta=-3", "target=thorw", "model.checkpoint=gone.safetensors"):
        answer = forked(tmp_path, *arguments, "targeted=true", mistake)
        assert answer.returncode == 2 and answer.stdout == ""
        assert answer.stderr.count("\n") == 1 and answer.stderr.startswith("error: "), answer.stderr
    assert not list(tmp_path.rglob("records.csv"))


ONE_LINERS = [
    (["attack.beta=0.1,1"], "attack.beta=0.1,1 has several values: add -m"),
    (["task=train", "recipe.rotation=[1,2]", "recipe=hcn/utd_mhad"], "recipe.rotation=[1, 2] must be three angles"),
    (["task=train", "recipe.rotation=[a,b,c]", "recipe=hcn/utd_mhad"], "recipe.rotation"),
    (["model.architecture=null"], "model.architecture is not set"),
    (["~dataset.root"], "dataset.root is missing"),
    (["attack=admm_released", "constraint=paper_true"], "choose another option of constraint="),
    (["runtime=null"], "runtime=None must contain settings"),
    (["hydra.verbos=1"], "hydra.verbos"),
    (["--config-dir", "/nowhere"], "--config-dir /nowhere is not a folder"),
    (["defense=null"], "defense=null is not an option"),
    (["+attack.targeted=true"], "attack.targeted is not a setting"),
    (["+attack.model=3"], "attack.model is not a setting"),
    (["+model.architecture.num_joints=3"], "model.architecture.num_joints is not a setting"),
    (["constraint.bone=null"], "constraint.bone=None is not a constraint"),
    (["constraint={}"], "constraint"),
    (["target=wave"], "no effect on an untargeted attack"),
    (["attack._target_=3"], "attack._target_=3"),
    (["batch_size=99999999999999999999"], "batch_size=99999999999999999999 is out of range"),
    (["runtime.output_dir="], "runtime.output_dir is empty"),
    (["runtime.cache_dir=/proc/nowhere"], "; runtime.cache_dir can name another folder"),
]


@pytest.mark.parametrize(("arguments", "message"), ONE_LINERS, ids=lambda v: str(v)[:40])
def test_other_mistakes_give_one_line_too(
    arguments: list[str],
    message: str,
    mat_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole program, but in this process, because starting another process takes longer than the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["skeleton_adv", "dataset=utd_mhad", f"dataset.root={mat_folder}", *arguments])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    shown = capsys.readouterr().err
    assert ended.value.code == 2 and message in shown and shown.count("\n") == 1, shown
    assert not list(tmp_path.rglob("records.csv"))


def test_a_folder_of_the_users_options(tmp_path: Path) -> None:
    """The files in --config-dir are options, are checked like built-in ones, and cannot make Hydra run code."""
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
    answer = forked(tmp_path, *own, "experiment=theirs")
    assert answer.returncode == 2 and "os.system lies outside skeleton_adv" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_setting_of_a_swept_part_is_not_applied_to_the_default_part() -> None:
    words = ["-m", "attack=pgd,bim", "attack.steps=5", "attack.eps=0.1,0.2", "+attack.joints=[head]", "seed=1"]
    wanted = [
        "attack=pgd,bim",
        "attack.steps=choice(5)",
        "attack.eps=0.1,0.2",
        "+attack.joints=choice([head])",
        "seed=1",
    ]
    assert cli.for_hydra(words) == [*wanted, "-m"]
    assert cli.for_hydra(["attack=pgd", "attack.steps=5"]) == ["attack=pgd", "attack.steps=5"]
