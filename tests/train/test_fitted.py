"""Parts that are fitted once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skeleton_adv.train.fitted import Fitted


def test_the_state_of_a_fit_that_was_killed_after_its_last_write_is_deleted(tmp_path: Path) -> None:
    part = Fitted(tmp_path / "w.safetensors", "abc")

    def work(scratch: Path) -> Mapping[str, Any]:
        scratch.write_text("state")
        part.path.with_suffix(".json").write_text(json.dumps({"identity": "abc"}))
        part.path.write_text("weights")
        return {"epochs": 1}

    assert part.fit(work) == {"epochs": 1} and not part.scratch.exists()
    part.scratch.write_text("state")  # the kill came before it was removed
    assert part.fit(work) is None and sorted(path.name for path in tmp_path.iterdir()) == ["w.json", "w.safetensors"]
