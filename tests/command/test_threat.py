"""Named threat models."""

from pathlib import Path
from typing import Any

import pytest
from jobs import job_of

from skeleton_adv.command.cli import CONF
from skeleton_adv.constraints import Ball, BoneFactor, BoneLength
from skeleton_adv.core.errors import SettingError

NAMES = sorted(path.stem for path in (Path(CONF) / "threat").glob("*.yaml"))


def task_of(*words: str) -> Any:
    return job_of([*words]).task


@pytest.mark.parametrize(
    ("name", "ball"),
    [
        ("linf_2mm", Ball("linf", 0.002)),
        ("linf_10mm", Ball("linf", 0.01)),
        ("l2_rms_1mm", Ball("rms", 0.001)),
        ("l2_rms_5mm", Ball("rms", 0.005)),
    ],
)
def test_a_ball_is_budget_and_judge(name: str, ball: Ball) -> None:
    job = job_of([f"threat={name}", "attack=pgd"])
    assert job.task.constraint == {"ball": ball}  # type: ignore[attr-defined]
    own = job.settings["attack"]
    assert (own["norm"], own["eps"], own["step"]) == (ball.norm, ball.eps, pytest.approx(ball.eps / 10))
    assert job.choices["threat"] == name


def test_an_attack_without_a_budget_is_only_judged() -> None:
    plain, judged = job_of(["attack=cw"]), job_of(["attack=cw", "threat=linf_2mm"])
    assert plain.settings["attack"] == judged.settings["attack"]
    assert judged.task.constraint == {"ball": Ball("linf", 0.002)}  # type: ignore[attr-defined]


def test_a_universal_perturbation_has_the_budget_without_its_norm() -> None:
    for name, eps in (("linf_2mm", 0.002), ("l2_rms_5mm", 0.005)):
        own = job_of(["attack=universal", f"threat={name}"]).settings["attack"]
        assert own["eps"] == eps and "norm" not in own


def test_the_papers_limits_are_those_of_the_option(tmp_path: Path) -> None:
    plain, named = job_of([]), job_of(["threat=paper"])
    assert plain.task.constraint == named.task.constraint  # type: ignore[attr-defined]
    assert isinstance(named.task.constraint["bone"], BoneLength)  # type: ignore[attr-defined]
    assert plain.settings == named.settings


def test_factors_of_bones_are_budget_and_judge() -> None:
    job = job_of(["threat=bone10", "attack=bone_length"])
    assert job.task.constraint == {"bone_factor": BoneFactor(0.1)}  # type: ignore[attr-defined]
    assert (job.settings["attack"]["factor_norm"], job.settings["attack"]["factor_eps"]) == ("linf", 0.1)
    plain, judged = job_of(["attack=pgd"]), job_of(["attack=pgd", "threat=bone10"])
    assert plain.settings["attack"] == judged.settings["attack"]


@pytest.mark.parametrize("name", NAMES)
def test_every_threat_fits_its_unit_only(name: str) -> None:
    data = {"m": "synthetic_cs", "image": "synthetic_kinetics"}
    fits = {
        unit: not _refused([f"threat={name}", "attack=pgd", f"dataset={dataset}"]) for unit, dataset in data.items()
    }
    assert any(fits.values()) and (all(fits.values()) or fits["image"] == name.startswith("image"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["threat=linf_2mm", "attack=pgd", "attack.eps=0.1"], r"attack\.eps"),
        (["threat=linf_2mm", "constraint=paper"], "sets constraint"),
        (["threat=paper", "constraint.bone.eps=0.1"], r"constraint\.bone\.eps"),
        (["threat=linf_2mm", "threat.budget.eps=1.0"], "cannot be set"),
    ],
)
def test_a_threat_is_fixed(words: list[str], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        job_of(words)


def _refused(words: list[str]) -> bool:
    try:
        job_of(words)
    except SettingError as error:
        return "but the clips are in" in str(error)
    return False


def test_bone10_limits_the_factors_of_bones() -> None:
    job = job_of(["threat=bone10", "attack=bone_length"])
    assert job.settings["attack"]["factor_eps"] == 0.1 and [*job.task.constraint] == ["bone_factor"]  # type: ignore[attr-defined]
    plain = job_of(["threat=bone10", "attack=pgd"])
    assert plain.settings["attack"]["eps"] == 0.01  # its own budget, which is a length
