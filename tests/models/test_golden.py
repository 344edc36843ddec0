"""Every network, loaded from the layout of its public implementation, against that implementation's numbers."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_inputs import assert_golden, golden_state
from torch import Tensor

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.models.checkpoint import load_checkpoint
from skeleton_adv.models.layouts import LAYOUTS, recognised, unwrapped

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
            continue  # STTFormer takes its table from the file; tests/models/test_sttformer.py
        weights[key] = torch.zeros(shape if isinstance(shape, list) else [1])
    for alias, name in facts.get("aliases", {}).items():
        weights |= {key.replace(name, alias): value for key, value in weights.items() if name in key}
    return weights


def test_every_layout_has_its_numbers() -> None:
    assert {layout.name for layout in LAYOUTS} == {*FILES} | WITHOUT


@every
def test_logits_and_gradients_are_those_of_the_public_implementation(layout: str) -> None:
    facts = golden(layout)
    model = load_checkpoint(golden_state(facts))
    assert model.layout == layout
    # FR-Head's heads act in training only, and its parameters in the file include them.
    heads = sum(value.numel() for key, value in golden_state(facts).items() if key.startswith("ren_"))
    own = sum(p.numel() for p in model.parameters())
    assert own < facts["params"] - heads / 2 if layout == "FR-Head" else own == facts["params"]
    assert_golden(model, facts, load=False, atol=1e-7 if layout.startswith("MS-G3D") else 1e-9)


@every
def test_wrappers_and_constants_make_no_difference(layout: str, tmp_path: Path) -> None:
    weights = with_constants(golden(layout))
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in weights.items()}}, tmp_path / "a.pt"
    )
    wrapped, plain = load_checkpoint(tmp_path / "a.pt"), load_checkpoint(golden_state(golden(layout)))
    assert wrapped.layout == plain.layout == layout
    for key, value in plain.state_dict().items():
        assert torch.equal(wrapped.state_dict()[key], value), key


@every
def test_a_missing_key_is_named(layout: str) -> None:
    weights = golden_state(golden(layout))
    needed = [key for key in weights if not key.startswith("ren_") and not key.endswith("num_batches_tracked")]
    for gone in (needed[0], needed[len(needed) // 2], needed[-1]):
        rest = {key: value for key, value in weights.items() if key != gone}
        found = recognised(unwrapped(rest))
        assert found and found.name == layout
        with pytest.raises(CheckpointError, match="does not fit") as caught:
            load_checkpoint(rest)
        assert found.rename(gone) in str(caught.value) and len(str(caught.value).splitlines()) == 1
