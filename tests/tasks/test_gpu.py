"""Whole jobs on a GPU give the results of the CPU, up to rounding; skipped where there is no GPU."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.core.errors import SettingError

GPU = "cuda"
ATTACKS = {
    "fgsm": [],
    "pgd": ["attack.steps=5"],
    "apgd_ce": ["attack.steps=10"],
    "autoattack_short": ["attack.steps=10"],
    "square": ["attack.queries=50"],
    "ddn": ["attack.steps=10"],
    "cw": ["attack.steps=10", "attack.search_steps=2", "attack.start_steps=10"],
    "deepfool": ["attack.steps=5"],
    "boundary": ["attack.queries=50"],
    "basar": ["attack.queries=50"],
    "admm": ["attack.outer_steps=3", "attack.inner_steps=3"],
    "admm_feasible": ["attack.steps=5"],
    "bone_length": ["attack.steps=5"],
    "isaac_n": [],
    "corruption_jitter": [],
}
OTHERS = {
    "certify": ["task=certify", "smoothing.n0=10", "smoothing.n=50", "smoothing.sigma=0.01"],
    "defended": ["attack=pgd", "attack.steps=3", "defense=noise_filter"],
    "auto": ["attack=pgd", "attack.steps=3", "batch_size=auto"],
}


def rows(place: tuple[Path, list[str]], tmp_path: Path, words: list[str], device: str) -> pd.DataFrame:
    """The rows of a job on 12 clips of a small victim."""
    folder, own = place
    used = {word.partition("=")[0] for word in words}
    alone = {word: word.partition("=")[0] for word in own}
    admm = "attack=admm" in words or not used & {"attack", "task"}
    kept = [word for word, key in alone.items() if key not in used and (admm or not key.startswith("attack."))]
    if "task=certify" in words:
        kept = [word for word in kept if not word.startswith("batch_size")]
    kept = [word.replace("small.safetensors", f"{folder}/small.safetensors") for word in kept]
    places = [f"runtime.output_dir={tmp_path}/{device}", f"runtime.cache_dir={tmp_path}/cache"]
    made = tasks.run(job_of([*kept, *words, *places, f"runtime.device={device}"]))
    assert made is not None
    return pd.read_csv(next(path for path in made.glob("*.csv")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="requires a GPU")
@pytest.mark.parametrize("name", [*ATTACKS, *OTHERS])
def test_a_gpu_gives_the_results_of_the_cpu(name: str, place: tuple[Path, list[str]], tmp_path: Path) -> None:
    words = OTHERS.get(name) or [f"attack={name}", *ATTACKS[name]]
    cpu, gpu = (rows(place, tmp_path, words, device) for device in ("cpu", GPU))
    same: Any = [column for column in ("name", "label", "clean_pred") if column in cpu]
    pd.testing.assert_frame_equal(cpu[same], gpu[same])
    outcome = "success" if "success" in cpu else "correct"
    assert (cpu[outcome] != gpu[outcome]).sum() <= 1
    length = "l2" if "l2" in cpu else "radius"
    assert abs(cpu[length].median() - gpu[length].median()) <= 0.02 * cpu[length].median() + 1e-6


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"runtime\.device=cuda cannot be used"):
        rows(place, tmp_path, ["attack=fgsm"], GPU)
