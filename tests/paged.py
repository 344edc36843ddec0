"""Runs with saved clips and hostile names, for tests of the page."""

from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_batch
from samples import admm, certified, run, six_rows, transfer

from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.page.clips import Shown
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.load import Run

HOSTILE = "</script><img src=x onerror=window.hacked=1>"
NAMES = ['=cmd("evil")', '"><script>window.hacked=1</script>', "{{core}}"]
CLASSES = ["wave", HOSTILE, "sit_down", *(f"class_{number}" for number in range(3, 27))]
FRAMES = 16


def save(folder: Path, shift: float) -> None:
    """Three clips of one or two persons; the attack moves the left elbow (5) in the frames from 8 on by ``shift``."""
    batch = make_batch(n=3, t=FRAMES, m=2, skeleton=NTU25)
    x, mask = batch.x.numpy().astype(np.float32), batch.mask.numpy()
    x_adv = x.copy()
    x_adv[:, 0, 8:, 5] += shift
    x_adv = np.where(mask, x_adv, x)
    held = {"x": x, "x_adv": x_adv, "mask": mask, "dt": np.full(3, 1 / 30, np.float32)}
    steps = np.arange(5, dtype=np.float32) * np.ones((3, 1), np.float32)
    SavedClips(folder).save([0, 1, 2], held | {"trace.loss": 5 - steps, "trace.bone": steps}, {})


def unchanged() -> Shown:
    """A clip that its attack left as it was."""
    x = make_batch(n=1, t=FRAMES, m=1, skeleton=NTU25).x[0].numpy()
    facts = {"dataset": "own", "attack": "idle"}
    return Shown("still", NTU25, x, x.copy(), np.ones(x.shape[1:], bool), 1 / 30, "m", "mm", "camera", facts)


def rows(**columns: Any) -> list[dict[str, Any]]:
    return six_rows(name=[*NAMES, "clip_3", "clip_4", "clip_5"], rms_mm=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], **columns)


def runs(folder: Path) -> list[Run]:
    """Attacks with and without clips, under a threat model, transferred, and a certificate."""
    facts: dict[str, Any] = {"skeleton": "ntu25", "classes": CLASSES}
    saved, bounded = folder / "admm", folder / "pgd"
    save(saved, 0.05)
    save(bounded, 0.008)
    noted = {"git_dirty": True, "checkpoint_accuracy": 0.9395348837209302}
    pgd = {
        "choices": {"attack": "pgd", "threat": "linf_10mm"},
        "settings": {"attack": {"norm": "linf", "eps": 0.01}},
        "constraints": {"ball": {"symbol": "ℓ∞", "unit": "m", "remark": ""}},
    }
    ball = {"ball_mean": 0.001, "ball_max": 0.01, "ball_ok": True}
    return [
        admm(1.0, rows(), folder=saved, identity="aaa", **facts),
        run(rows(feasible=True, **ball), bounded, identity="bbb", **facts, **pgd),
        admm(0.1, rows(gradient=0.0), folder=folder / "weak", identity="ccc", **facts, **noted),
        transfer("agcn", 1.0, rows(), folder=folder / "transfer", identity="ddd", **facts),
        transfer("stgcn", 1.0, rows(success=False), folder=folder / "other", identity="eee", **facts),
        certified(folder=folder / "certified", identity="fff"),
    ]
