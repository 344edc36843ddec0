"""UTD-MHAD's files: impossible arrays and coordinates are reported with their frame."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.utd_mhad import MOST_FRAMES, UTDMHAD, read_mat_file


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39, -1e6, 100.5])
def test_an_impossible_coordinate_is_named_with_its_frame(value: float, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(20, 3, 50))
    array[3, 1, 20] = value
    savemat(tmp_path / "x.mat", {"d_skel": array})
    with pytest.raises(DataError, match=r"x\.mat: frame 21 "):
        read_mat_file(tmp_path / "x.mat")


@pytest.mark.parametrize(
    "shape", [(20, 3, MOST_FRAMES + 1), (20, 3), (20, 150), (19, 3, 50), (20, 3, 1), (20, 3, 5, 2)]
)
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"d_skel": np.zeros(shape, np.float32)}, do_compression=True)
    with pytest.raises(DataError, match=r"x\.mat: 'd_skel'"):
        read_mat_file(tmp_path / "x.mat")


def test_further_persons_are_absent(mat_folder: Path) -> None:
    dataset = UTDMHAD(str(mat_folder), num_persons=4)
    raw = dataset.read(dataset.clips()[0])
    assert raw.exists[..., 0].all() and not raw.exists[..., 1:].any() and not raw.frames[..., 1:].any()
