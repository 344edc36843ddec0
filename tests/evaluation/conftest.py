"""Real clips with an absent second person."""

from pathlib import Path

import pytest
from judged import FRAMES, PERSONS

from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder), num_frames=FRAMES, num_persons=PERSONS)
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))
