"""Public checkpoints are loaded from their keys and shapes, and no code in them is executed."""

import json
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_inputs import golden_clips, golden_weight
from safetensors.torch import save_file
from torch import Tensor

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.skeleton import NTU25, OPENPOSE18
from skeleton_adv.models.agcn import AGCN, TwoStreamAGCN
from skeleton_adv.models.checkpoint import load_checkpoint
from skeleton_adv.models.ctrgcn import CTRGCN
from skeleton_adv.models.graph import distance_adjacency
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.hdgcn import HDGCN
from skeleton_adv.models.stgcn import STGCN
from skeleton_adv.models.sttformer import STTFormer

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("hcn_ntu_t32", "hcn_ntu_t32_fc256", "hcn_ntu_t64", "skelact_hcn_ntu_t32", "agcn_ntu_t64")


def golden(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    facts = json.loads((GOLDEN / f"{name}.json").read_text())
    weights = {key: golden_weight(key, shape, facts["gain"]) for key, shape in facts["state_dict"].items()}
    return facts, weights


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_widths_are_inferred_from_keys_and_shapes(name: str) -> None:
    facts, weights = golden(name)
    model = load_checkpoint(weights).double()
    x = golden_clips(*facts["input"]["args"], facts["input"]["seed"]).double()
    torch.testing.assert_close(model(x), torch.tensor(facts["logits"], dtype=torch.float64), rtol=0, atol=1e-8)
    assert not model.training


def test_hcn_pytorchs_file_with_numpy_scalars(tmp_path: Path) -> None:
    _, weights = golden("hcn_ntu_t32_fc256")
    path = tmp_path / "best.pth.tar"
    torch.save({"epoch": 3, "state_dict": weights, "optim_dict": {}, "best_val_acc": np.float64(0.84)}, path)
    model = load_checkpoint(path)
    assert isinstance(model, HCN) and model.num_frames == 32
    assert torch.equal(model.state_dict()["fc8.bias"], weights["fc8.bias"])


def test_agcns_file_with_prefixes_renamed_keys_and_no_counters(tmp_path: Path) -> None:
    _, weights = golden("agcn_ntu_t64")
    old = OrderedDict()
    for key, value in weights.items():
        if not key.endswith("num_batches_tracked"):
            old["model.module." + key.replace("l1.", "l1a.", 1).replace(".down.", ".conv_res.")] = value
    assert sum("l1a." in key for key in old) > 10 and sum("conv_res" in key for key in old) > 10
    torch.save(old, tmp_path / "ntu_cs_agcn_bone.pt")
    model = load_checkpoint(tmp_path / "ntu_cs_agcn_bone.pt")
    assert isinstance(model, AGCN)
    assert torch.equal(model.state_dict()["l5.gcn1.down.0.weight"], weights["l5.gcn1.down.0.weight"])


def test_two_streams_and_their_widths(tmp_path: Path) -> None:
    made = TwoStreamAGCN(OPENPOSE18, num_classes=5, num_persons=1, width=8).eval()
    model = load_checkpoint(made.state_dict())
    x = golden_clips(2, 3, 16, 18, 1, seed=1)
    assert isinstance(model, TwoStreamAGCN) and torch.equal(model(x), made(x))
    for stream in ("joint", "bone"):
        torch.save(OrderedDict(getattr(made, stream).state_dict()), tmp_path / f"{stream}.pt")
    script = Path(__file__).parents[2] / "scripts/join_streams.py"
    command = [sys.executable, str(script), "joint.pt", "bone.pt", "both.safetensors"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert torch.equal(load_checkpoint(tmp_path / "both.safetensors")(x), made(x))


def test_safetensors(tmp_path: Path) -> None:
    _, weights = golden("hcn_ntu_t32")
    save_file(weights, tmp_path / "a.safetensors")
    assert isinstance(load_checkpoint(tmp_path / "a.safetensors"), HCN)


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("executed"),))


def test_a_pickle_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "more": Evil()}, "evil.pt")
    Path("bare.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pt", "bare.pt"):
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(name)
    assert not Path("executed").exists()


def test_keys_that_do_not_fit_are_named(tmp_path: Path) -> None:
    _, weights = golden("hcn_ntu_t32")
    with pytest.raises(
        CheckpointError, match=r"does not fit HCN \(HCN-pytorch\): conv4\.0\.bias \(absent in the file, 64 in"
    ):
        load_checkpoint({key: value for key, value in weights.items() if key != "conv4.0.bias"})
    with pytest.raises(CheckpointError, match=r"no supported layout.*first entry is other"):
        load_checkpoint({"other": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"gone\.pt is not a readable checkpoint"):
        load_checkpoint(tmp_path / "gone.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="contains no state dict"):
        load_checkpoint(tmp_path / "list.pt")


def test_streams_with_wrappers_stay_apart() -> None:
    parts = {stream: CTRGCN(num_classes=3, width=4).state_dict() for stream in ("joint", "bone")}
    wrapped = {f"{stream}.module.{key}": value for stream, part in parts.items() for key, value in part.items()}
    found = load_checkpoint(wrapped).state_dict()
    assert all(torch.equal(found[f"{stream}.{key}"], parts[stream][key]) for stream in parts for key in parts[stream])
    with pytest.raises(CheckpointError, match="same name"):
        load_checkpoint(parts["joint"] | {f"module.{key}": value for key, value in parts["bone"].items()})


def test_another_graph_or_centre_is_refused() -> None:
    weights = STGCN(num_classes=3, width=4).state_dict()
    assert isinstance(load_checkpoint(weights | {"A": distance_adjacency(NTU25)}), STGCN)
    with pytest.raises(CheckpointError, match="A is another graph"):
        load_checkpoint(weights | {"A": distance_adjacency(NTU25, "fork")})
    other = HDGCN(num_classes=3, width=4, center=21)
    assert load_checkpoint(other.state_dict()).center == 21
    with pytest.raises(CheckpointError, match=r"set model\.architecture\.center=21"):
        HDGCN(num_classes=3, width=4, center=1).take_constants(other.state_dict())


def test_odd_shapes_and_tables_are_one_line() -> None:
    weights = CTRGCN(num_classes=3, width=4).state_dict()
    with pytest.raises(CheckpointError, match=r"^the state dict does not fit CTR-GCN: [^\n]*$"):
        load_checkpoint(weights | {"data_bn.weight": torch.ones(3)})
    small = STTFormer(num_joints=25, tuples=2, width=4)
    for table in (torch.zeros(1, 4, 2, 7), torch.full((1, 4, 2, 50), torch.nan)):
        with pytest.raises(CheckpointError, match=r"pes\.pe is not a table"):
            load_checkpoint(small.state_dict() | {"blocks.0.pes.pe": table})
