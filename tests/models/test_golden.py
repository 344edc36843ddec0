"""Every network, loaded from the layout of its public implementation, against that implementation's numbers."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_inputs import assert_golden, golden_state
from torch import Tensor

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.models.checkpoint import load_checkpoint
from skeleton_adv.models.graph import distance_adjacency
from skeleton_adv.models.layouts import LAYOUTS, recognised, unwrapped
from skeleton_adv.models.sttformer import _Positions

GOLDEN = Path(__file__).parents[1] / "golden"
# The golden file of each layout.
FILES = {
    "HCN (HCN-pytorch)": "hcn_ntu_t32",
    "HCN (skelact)": "skelact_hcn_ntu_t32",
    "2s-AGCN (one stream)": "agcn_ntu_t64",
    "ST-GCN": "stgcn_ntu25_t64",
    "CTR-GCN": "ctrgcn_ntu25_t64",
    "FR-Head": "frhead_ntu25_t64",
    "MS-G3D": "msg3d_ntu25_t64",
    "InfoGCN": "infogcn_ntu25_k8_t64",
    "HD-GCN": "hdgcn_ntu25_com1_t64",
    "Shift-GCN": "shiftgcn_ntu25_t64",
    "SGN": "sgn_ntu25_t20",
    "STTFormer": "sttformer_ntu25_t120",
    "SkateFormer": "skateformer_ntu24_t64",
    "pyskl's ST-GCN": "pyskl_stgcn_ntu_t100",
    "pyskl's ST-GCN++": "pyskl_stgcnpp_ntu_t100",
    "pyskl's AAGCN": "pyskl_aagcn_ntu_t100",
    "pyskl's CTR-GCN": "pyskl_ctrgcn_ntu_t100",
    "pyskl's MS-G3D": "pyskl_msg3d_ntu_t100",
    "pyskl's DG-STGCN": "pyskl_dgstgcn_ntu_t100",
    "pyskl's SGN": "pyskl_sgn_ntu_t30",
}
WITHOUT = {"HCN (HCN-PrototypeLoss-PyTorch)"}  # tests/models/test_hcn.py computes its difference from HCN-pytorch
ELSEWHERE = {"HD-GCN"}  # weights at random do not show its centre: tests/models/test_hdgcn.py compares its numbers
every = pytest.mark.parametrize("layout", FILES)


@cache
def golden(layout: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{FILES[layout]}.json").read_text())
    return found


def with_constants(facts: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights as a released file holds them, with its constant entries and repeated keys."""
    weights = golden_state(facts)
    for key, shape in facts.get("constant_buffers", {}).items():
        if key.endswith("pes.pe"):
            weights[key] = published_positions(shape)
            continue
        weights[key] = distance_adjacency(NTU25) if key == "A" else torch.zeros(shape)
    for alias, name in facts.get("aliases", {}).items():
        weights |= {key.replace(name, alias): value for key, value in weights.items() if name in key}
    return weights


def published_positions(shape: Sequence[int]) -> Tensor:
    """STTFormer's table (1, C, T, U) as the authors' code made it on the machine of the golden numbers.

    The file holds the differences from the rounded table, in units in the last place.
    """
    ulps = np.load(GOLDEN / "sttformer_positions.npz")
    rounded = _Positions(shape[1], shape[3]).pe[0, :, 0].T.reshape(shape[3], -1, 2)  # (U, C / 2, sine and cosine)
    moved = np.stack([ulps[f"{name}_{shape[1]}"] for name in ("sin", "cos")], axis=2)
    table = (rounded.contiguous().numpy().view(np.int32) + moved).astype(np.int32).view(np.float32)
    return torch.from_numpy(table).flatten(1).T[None, :, None].expand(*shape).contiguous()


def test_every_layout_has_its_numbers() -> None:
    assert {layout.name for layout in LAYOUTS} == {*FILES} | WITHOUT


@pytest.mark.cases(6)
@every
def test_a_released_file_gives_the_numbers_of_its_implementation(layout: str, tmp_path: Path) -> None:
    """From a file with its wrappers and constants; float64, logits and input gradients of present persons."""
    facts = golden(layout)
    weights = with_constants(facts)
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in weights.items()}}, tmp_path / "a.pt"
    )
    model = load_checkpoint(tmp_path / "a.pt")
    assert model.layout == layout
    found = recognised(golden_state(facts))
    assert found
    expected = found.canonical(golden_state(facts))
    assert [(key, value.shape) for key, value in model.state_dict().items()] == [
        (key, value.shape) for key, value in expected.items()
    ]
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    if layout not in ELSEWHERE:
        assert_golden(model, facts, load=False, atol=1e-7 if layout == "MS-G3D" else 1e-9)


@every
def test_a_missing_key_is_named(layout: str) -> None:
    weights = golden_state(golden(layout))
    needed = [key for key in weights if not key.startswith("ren_") and not key.endswith("num_batches_tracked")]
    gone = needed[2 * len(needed) // 3]
    rest = {key: value for key, value in weights.items() if key != gone}
    found = recognised(unwrapped(rest))
    assert found and found.name == layout
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load_checkpoint(rest)
    assert found.rename(gone) in str(caught.value) and len(str(caught.value).splitlines()) == 1
