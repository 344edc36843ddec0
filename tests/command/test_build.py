"""A command is converted to the job that it describes, or refused in one line."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from jobs import job_of
from omegaconf import OmegaConf

from skeleton_adv import tasks
from skeleton_adv.attacks import Access, needs
from skeleton_adv.command import build, cli
from skeleton_adv.command import compose as compose_module
from skeleton_adv.command.job import Job
from skeleton_adv.command.targets import Trust, check_targets
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.defenses import check_option, none
from skeleton_adv.tasks.weights import find_checkpoint

VALUES = [
    ("attack.beta=-3", "attack.beta=-3 is out of range: it must be in (0, inf)"),
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
    with pytest.raises(SettingError) as caught:
        job_of([override])
    assert message in str(caught.value)


TRAININGS = [
    (["surrogate.noise=0.25"], "there is no surrogate"),
    (["training@surrogate_training=noise"], "there is no surrogate"),
    (["surrogate_training=null"], "surrogate_training=None is no way of training"),
    (["model@surrogate=hcn", "surrogate_training=null"], "surrogate_training=None is no way of training"),
    (["training._target_=skeleton_adv.train.training.Training"], "is no way of training"),
]


@pytest.mark.parametrize(("words", "message"), TRAININGS)
def test_a_training_without_effect_or_meaning_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        job_of(words)


def test_a_surrogate_may_have_another_training() -> None:
    surrogate = job_of(["model@surrogate=hcn", "surrogate.noise=0.25"]).surrogate
    assert surrogate is not None and surrogate.training.identity() == {"noise": 0.25}


ACCESS = [
    ("gradients", [], "white box"),
    ("scores", [], "scores"),
    ("gradients", ["defense=noise_filter"], "adaptive"),
    ("labels", ["defense=noise_filter"], "labels"),
    ("gradients", ["defense=noise_filter", "adaptive=false"], "oblivious"),
    ("scores", ["defense=noise_filter", "adaptive=false"], "oblivious"),
    ("labels", ["defense=noise_filter", "adaptive=false"], "oblivious"),
    ("none", ["defense=noise_filter", "adaptive=false"], "none"),
    ("labels", ["model@surrogate=hcn"], "transfer"),
    ("none", ["model@surrogate=hcn"], "none"),
]


@pytest.mark.parametrize(("declared", "words", "access"), ACCESS)
def test_an_attack_on_the_undefended_network_is_oblivious(declared: Access, words: list[str], access: str) -> None:
    job = job_of(words)
    task: Any = job.task
    attack = needs(declared)(lambda model, batch, *, targeted=False: None)
    assert replace(task, attack=attack)._access(job, {}) == access


def check(job: Job) -> None:
    task: Any = job.task
    task.check(job)


def test_a_target_on_the_command_line_has_its_own_name() -> None:
    place = "skeleton_adv.defenses.noise_filter.NoiseFilter"
    job = job_of([f"defense._target_={place}", "+defense.sigma=0.05", "adaptive=false"])
    check(job)  # there is a defense to which an attack may be oblivious
    assert job.choices["defense"] == place and job.choices["attack"] == "admm"


VARIANTS = [
    (["defense=temporal_filter", "defense.sigma=0.01"], "noise_filter"),
    (["defense=noise_filter", "defense.taps=null"], "noise"),
    (["defense=noise_filter", "defense.sigma=0"], "temporal_filter"),
    (["defense=noise", "defense.sigma=0"], "none"),
    (["defense=temporal_filter", "~defense.sigma"], "noise_filter"),  # the default of the call
]


@pytest.mark.parametrize(("overrides", "meant"), VARIANTS, ids=str)
def test_a_defense_has_the_values_of_its_name(overrides: list[str], meant: str) -> None:
    with pytest.raises(SettingError, match=rf"is the same as defense={meant}: use defense={meant}"):
        check(job_of(overrides))
    for option in ("none", "noise", "noise_filter", "temporal_filter"):
        check(job_of([f"defense={option}"]))


def test_a_users_defense_may_have_the_name_of_a_built_in_one() -> None:
    check_option(none, "temporal_filter")  # as from --config-dir
    check_option(lambda network: network, "noise_filter")


def test_commands_can_be_repeated() -> None:
    job = job_of(["model.seed=77", "targeted=true", "target='massaging person\\'s head'", "attack.beta=2"])
    assert job.settings["target"] == "massaging person's head"
    words = shlex.split(job.command)[3:]
    assert job_of(words).settings == job.settings and words[-1] == "attack.beta=2"
    with pytest.raises(CheckpointError, match="train it with"):
        find_checkpoint(job, job.victim)


IDLE = [
    (["attack=from_file", "attack.path=x", "targeted=true", "target=least_likely"], "target=least_likely"),
    (["target=0"], "target=0 has no effect on an untargeted attack"),
    (["adaptive=false"], "adaptive=false has no effect without a defense"),
    (["adaptive=false", "defense=noise", "model@surrogate=hcn"], "adaptive=false has no effect with a surrogate"),
    (["attack=cw", "runtime.save_trace=true"], "attack=cw keeps no trace"),
    (["task=certify", "smoothing.n=5"], "smoothing.n=5 draws certify nothing"),
    (["defense=median", "defense.window=4"], "defense.window=4 has no frame in its middle: choose 5"),
    (["defense=savitzky_golay", "defense.window=3", "defense.degree=3"], "defense.degree=3 fits any 3 frames exactly"),
    (["task=certify", "defense=median", "defense.window=6"], "defense.window=6 has no frame in its middle"),
    (["dataset=synthetic_kinetics", "defense=bone_projection"], "defense=bone_projection has no meaning for"),
    (
        ["task=identify", "judged=x", "dataset=synthetic_kinetics", "bones=normalised"],
        "bones=normalised has no meaning",
    ),
    (["task=identify", "judged=x", "dataset=synthetic_kinetics", "bones=alone"], "bones=alone has no meaning"),
    (["task=train", "dataset=synthetic_kinetics", "recipe=hcn/synthetic_cs"], "set recipe.rotation=[0,0,0]"),
]


@pytest.mark.parametrize(("overrides", "message"), IDLE, ids=range(len(IDLE)))
def test_a_setting_without_meaning_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        check(job_of(overrides))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["targeted=true", "adaptive=false", "attack=pgd", "model@surrogate=hcn"])
def test_a_setting_of_another_task_is_unknown(word: str) -> None:
    with pytest.raises(SettingError):
        cli.check_arguments(["task=certify", "model.noise=0.25", word])


def test_a_sweep_is_recorded_with_the_number_of_its_jobs() -> None:
    params = {"targeted": "false,true", "attack.beta": "0.1,1,10"}
    assert build.sweep_of(None, ["attack.beta=1", "--cfg", "job"]) is None
    assert build.sweep_of(params, []) == {"params": params, "typed": [], "jobs": 6}
    assert build.sweep_of(params, ["-m", "attack.beta=3"]) == {
        "params": {"targeted": "false,true"},
        "typed": [],
        "jobs": 2,
    }
    swept = build.sweep_of(params, ["attack.beta=1,2", "seed=range(0,4)"])
    assert swept is not None and swept["jobs"] == 16 and swept["params"]["attack.beta"] == "1,2"
    assert swept["typed"] == ["attack.beta", "seed"]


def test_no_target_outside_the_package_is_built_unless_requested() -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config", ["defense._target_=os.system", "+defense.command=true"])
    with pytest.raises(SettingError, match=r"defense\._target_=os\.system lies outside skeleton_adv"):
        build.build_job(config, {}, [], [], tasks.find)
    for word in ("dataset.name=os.system", "defense.command=os.system", "defense._target_=os.systemd"):
        with pytest.raises(SettingError, match=r"defense\._target_=os\.system lies outside skeleton_adv"):
            build.build_job(config, {}, [word], [word], tasks.find)
    with pytest.raises(SettingError, match=r"lies outside skeleton_adv"):  # swept by a file, not on the command line
        build.build_job(config, {}, ["defense._target_=os.system"], [], tasks.find)


SMUGGLED = [
    {"_target_": "skeleton_adv.models.victim.torch.load", "f": "evil.pt"},
    {"_target_": "skeleton_adv.runs.folder.Path.write_text", "_args_": ["x"]},
    {"_target_": "skeleton_adv.defenses.none", "_args_": ["x"], "_partial_": True},
    {"_target_": "skeleton_adv.defenses.none", "_partial_": True, "network": "${oc.create:{_target_:os.system}}"},
]


@pytest.mark.parametrize("node", SMUGGLED, ids=str)
def test_the_check_of_targets_has_no_loophole(node: dict[str, Any]) -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config")
    config = OmegaConf.create({**OmegaConf.to_container(config, resolve=True), "defense": {}})  # type: ignore[dict-item]
    settings: Any = OmegaConf.to_container(config)
    settings["defense"] = node
    with pytest.raises(SettingError):
        check_targets(settings, Trust())


def test_an_ensemble_has_the_networks_of_its_members() -> None:
    words = ["model@surrogate=ensemble", "surrogate.members=[hcn,agcn_small]", "surrogate.seed=1"]
    surrogate = job_of(words).surrogate
    assert surrogate is not None and [one.option for one in surrogate.members] == ["hcn", "agcn_small"]
    assert {one.model.seed for one in surrogate.members} == {1} and {one.key for one in surrogate.members} == {
        "surrogate"
    }
    copies = job_of(["model=ensemble", "model.members=[hcn@1,hcn@2,agcn_small]"]).victim.members
    assert [(one.option, one.model.seed) for one in copies] == [("hcn", 1), ("hcn", 2), ("agcn_small", 0)]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["model=ensemble", "model.members=[hcn@1,hcn@x]"], "hcn@x must end with the seed"),
        (["model=ensemble"], r"model\.members is missing: set model\.members to models"),
        (["model=ensemble", "model.members=[hcn]"], "at least two models"),
        (["model=ensemble", "model.members=[hcn,agcm]"], "agcm is not a model"),
        (["model=ensemble", "model.members=[hcn,ensemble]"], "ensemble is not a model"),
        (["model=ensemble", "model.members=[hcn,agcn]", "model.checkpoint=a.pt"], "no effect on an ensemble"),
    ],
)
def test_an_ensemble_needs_members(words: list[str], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        _checked(words)


def _checked(words: list[str]) -> Job:
    cli.check_arguments(words)
    return job_of(words)


def test_members_are_composed_beside_a_running_job() -> None:
    """Hydra runs the job of the command meanwhile, and keeps its configuration."""
    compose_module.composed.cache_clear()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        running = GlobalHydra.instance().hydra
        surrogate = job_of(["model@surrogate=ensemble", "surrogate.members=[hcn,agcn_small]"]).surrogate
        assert surrogate is not None and len(surrogate.members) == 2
        assert GlobalHydra.instance().hydra is running
