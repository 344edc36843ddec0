"""Identities as literals, so that later versions still find existing runs and checkpoints.

A literal changes only in the commit that raises the revision of its method.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jobs import job_of, of_saved_clips

from skeleton_adv.runs.identity import identity
from skeleton_adv.runs.schema import ATTACK, CERTIFICATE, DETECTION, IDENTIFICATION
from skeleton_adv.tasks import attack, certify, detect, identify
from skeleton_adv.tasks.train import TRAINING
from skeleton_adv.tasks.weights import weights_of

CHECKPOINTS = Path(__file__).parents[2] / "outputs" / "checkpoints"
SHIPPED = {
    "hdm05_11/agcn_t32_k11_s0": "a545c2926f53",
    "hdm05_11/ctrgcn_small_t32_k11_s0": "723e88c84dfa",
    "hdm05_11/hcn_t32_k11_s0": "594d5143bb63",
    "hdm05_11/sgn_whole_t32_k11_s0": "ae4c3f72b6cd",
    "hdm05_11/stgcn_small_t32_k11_s0": "0be99bd5fd4b",
    "synthetic_cs/agcn_small_t32_k10_s0": "912315bd9e99",
    "synthetic_cs/agcn_small_t64_k10_s0": "e7e2cb186a38",
    "synthetic_cs/hcn_t32_k10_s1": "0e258b29fcfd",
    "synthetic_cs/hcn_t32_k49_noise0.1_s0": "0b95f8bfd7f8",
    "synthetic_cs/hcn_t32_k49_noise0.25_s0": "4a4c2ff653dd",
    "synthetic_cs/hcn_t32_k49_noise0.5_s0": "5f8dcfbb6d8b",
    "synthetic_cs/hcn_t32_k49_s0": "c4ad6d45c91b",
    "synthetic_cs/hcn_t32_k49_s1": "a95fa5bcf042",
    "synthetic_cs/hcn_t64_k60_s0": "88fb3e20f092",
    "synthetic_cv/agcn_small_t64_k10_s0": "a535ddd9b312",
    "synthetic_cv/hcn_t64_k60_s0": "fb206b7a9e4c",
    "synthetic_kinetics/agcn_small_t64_k10_s0": "adf6c3ef9f7f",
    "synthetic_kinetics/hcn_t64_k60_s0": "a1253d92743c",
    "utd_mhad/agcn_small_t32_k27_s0": "88152d4ae281",
    "utd_mhad/agcn_small_t64_k27_noise0.1_s0": "2f71774f3fae",
    "utd_mhad/agcn_small_t64_k27_s0": "2a8611a325c3",
    "utd_mhad/agcn_t32_k27_s0": "4ea97f660cad",
    "utd_mhad/ctrgcn_small_t32_k27_s0": "20e5ea527748",
    "utd_mhad/hcn_t32_k27_noise0.1_s0": "4db17b194074",
    "utd_mhad/hcn_t32_k27_noise0.25_s0": "1b908935fc5c",
    "utd_mhad/hcn_t32_k27_noise0.5_s0": "0e63f2ebd82a",
    "utd_mhad/hcn_t32_k27_s0": "e9078c15f14c",
    "utd_mhad/hcn_t32_k27_s1": "cd2c3397a4de",
    "utd_mhad/hcn_t32_k27_s2": "86c387ce1ec9",
    "utd_mhad/msg3d_small_t32_k27_s0": "fcd590b569a0",
    "utd_mhad/sgn_whole_t32_k27_s0": "82ffc4c7a482",
    "utd_mhad/shiftgcn_small_t32_k27_s0": "a4e528fb2fce",
    "utd_mhad/stgcn_small_t32_k27_s0": "bd145603c233",
    "utd_mhad/sttformer_small_t32_k27_s0": "4b72c34cc4a7",
}
COMMANDS = {
    "attack=admm": "f64380401c6b",
    "attack=admm attack.beta=10 attack.keep=best targeted=true": "f159be13ca56",
    "attack=admm_released targeted=true target=0": "01285e5171db",
    "attack=cw batch_size=32": "2f6b9aee3643",
    "attack=pgd attack.norm=l2 attack.eps=0.2": "22784e899050",  # the step is a tenth of eps since the API
    "attack=pgd attack.norm=l2 attack.eps=0.2 attack.step=0.001": "b37aa8882011",  # the default before
    "attack=fgsm seed=3": "dc3747c6c25e",
    "attack=bim": "104aa924daef",
    "attack=mi_fgsm": "0dd35af61b5b",
    "attack=ifgvm": "54c85d2e251e",
    "dataset=synthetic_cv": "90e562a45402",
    "dataset=synthetic_kinetics": "e9cab618063d",
    "dataset=utd_mhad": "9c987fd97e2d",
    "dataset=utd_mhad model=agcn_small targeted=true target=least_likely": "f173f40823d1",
    "dataset=utd_mhad model@surrogate=hcn surrogate.seed=1": "ec44cf5ff860",
    "dataset=utd_mhad defense=noise_filter": "ba29a1777f3e",
    "dataset=utd_mhad defense=temporal_filter adaptive=false": "3422b766873f",
    "dataset=utd_mhad model.noise=0.25 defense=noise judgements=5": "d26fe346b219",
    "dataset=utd_mhad constraint.bone.eps=0.05": "b2c260dfca20",
    "dataset=utd_mhad defense=median": "6aebd160bf7a",
    "dataset=utd_mhad defense=savitzky_golay": "0841bb9ed67f",
    "dataset=utd_mhad defense=bone_projection adaptive=false": "87812ae76968",
    "dataset=utd_mhad attack=k_a3": "ad347fd1eae2",
    "dataset=utd_mhad attack=k_a3_admm attack.hide=true": "061a262a91fe",
    "dataset=utd_mhad attack=deep_features targeted=true": "7c1988f80865",
    "task=detect dataset=utd_mhad judged=RUN fit_on=[RUN]": "148cb7d962aa",
    "task=detect dataset=utd_mhad judged=RUN detector=knn": "fc0f6a94b1b6",
    "task=identify dataset=utd_mhad judged=RUN": "d1e1feb8d43b",
    "task=identify dataset=utd_mhad judged=RUN of=subjects gallery=*_t1 probes=*_t2": "d59cea2d2cc1",
    "task=certify dataset=utd_mhad model.noise=0.25": "6b88ba861952",
    "task=certify dataset=utd_mhad defense=temporal_filter smoothing.n=2000": "5206569b09c6",
}


def identity_of(command: str) -> str:
    """The identity of a command's run, on prepared data whose digest is all zeros."""
    made = job_of(command.split())
    prepared: Any = SimpleNamespace(digest="0" * 64)
    weights = {role.key: weights_of(made, role) for role in made.roles}
    if isinstance(made.task, certify.Task):
        return identity(made.task.settings(made, prepared, weights["model"]), CERTIFICATE.schema)
    if isinstance(made.task, detect.Task):
        return identity(of_saved_clips(made, prepared, weights["model"]), DETECTION.schema)
    if isinstance(made.task, identify.Task):
        return identity(of_saved_clips(made, prepared, weights["model"]), IDENTIFICATION.schema)
    assert isinstance(made.task, attack.Task)
    return identity(made.task.settings(made, prepared, weights), ATTACK.schema)


@pytest.mark.parametrize("name", list(SHIPPED))  # others in this folder are what a user has trained or fitted
def test_every_shipped_checkpoint_has_the_identity_of_its_settings(name: str) -> None:
    about = json.loads((CHECKPOINTS / f"{name}.json").read_text())
    assert about["identity"] == identity(about["settings"], TRAINING) == SHIPPED[name]


@pytest.mark.parametrize("command", list(COMMANDS))
def test_commands_keep_their_identity(command: str) -> None:
    assert identity_of(command) == COMMANDS[command]
