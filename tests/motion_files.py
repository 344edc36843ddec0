"""Small files in the formats of HDM05 (``.asf`` and ``.amc``) and of dbcsp (``.npz``), with random motion."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_adv.core.skeleton import HDM31
from skeleton_adv.data.dbcsp import CLASSES, FILE
from skeleton_adv.data.hdm05 import BONES

HEAD = """# made for a test
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
  two lines (of text)
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
"""
TURNS = {"lfemur": "rx ry rz", "rfemur": "rx ry rz", "ltibia": "rx", "rtibia": "rx", "lclavicle": "ry rz"}


def asf_text(seed: int = 0) -> str:
    """The 30 bones of HDM05 with random directions and lengths."""
    rng = np.random.default_rng(seed)
    blocks = []
    for number, name in enumerate(BONES, 1):
        x, y, z = rng.normal(size=3)
        lines = [f"id {number}", f"name {name}", f"direction {x:.6f} {y:.6f} {z:.6f}"]
        lines += [f"length {rng.uniform(1, 7):.5f}", f"axis 0 {rng.uniform(-90, 90):.4f} 20 XYZ"]
        if name in TURNS:
            lines += [f"dof {TURNS[name]}", *[f"{'limits ' * (not n)}(-160.0 20.0)" for n, _ in enumerate(turns(name))]]
        blocks.append("\n".join(["  begin", *(f"     {line}" for line in lines), "  end"]))
    names = ("root", *BONES)
    children = {name: [names[c] for c, p in enumerate(HDM31.parents) if c and names[p] == name] for name in names}
    tree = [f"    {name} {' '.join(found)}" for name, found in children.items() if found]
    return HEAD + "\n".join([*blocks, ":hierarchy", "  begin", *tree, "  end"]) + "\n"


def turns(name: str) -> list[str]:
    return TURNS[name].split()


def amc_text(frames: int, seed: int = 0) -> str:
    """Random angles for the bodies of ``asf_text``, which stay near the origin."""
    rng = np.random.default_rng(seed)
    widths = {"root": 6} | {name: len(turns(name)) for name in TURNS}
    values = {name: np.cumsum(rng.normal(size=(frames, width)), axis=0) for name, width in widths.items()}
    lines = ["#!OML:ASF made for a test", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(frames):
        lines.append(str(frame + 1))
        lines += [f"{name} {' '.join(f'{v:.5f}' for v in of[frame])}" for name, of in values.items()]
    return "\n".join(lines) + "\n"


def write_hdm05(root: Path, actions: Sequence[str], actors: Sequence[str] = ("bd", "mm"), frames: int = 9) -> Path:
    """One clip per actor and action."""
    root.mkdir(exist_ok=True)
    for seed, actor in enumerate(actors):
        (root / f"HDM_{actor}.asf").write_text(asf_text(seed))
        for number, action in enumerate(actions):
            path = root / f"HDM_{actor}_{action}_001_120.amc"
            path.write_text(amc_text(frames, 10 * seed + number))
    return root


def write_dbcsp(root: Path, per_class: int = 6) -> Path:
    """Bodies of about 100 pixels that move."""
    root.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    body = rng.uniform(20, 300, size=(len(labels), 1, 25, 2))
    data = (body + rng.normal(size=(len(labels), 92, 25, 2))).astype(np.float32)
    np.savez_compressed(root / FILE, data=data, label=labels, class_names=np.array(CLASSES))
    return root
