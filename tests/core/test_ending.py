"""The end of a failed command: one line, of a length that a terminal shows."""

import pytest

from skeleton_adv.core.ending import one_line, shortened
from skeleton_adv.core.errors import SettingError


def test_only_very_long_words_are_cut() -> None:
    usual = f"/{'a' * 200}/x: cannot be read: set dataset.root"
    assert shortened(usual) == usual
    cut = shortened(f"model={'9' * 5000}1 is not an option: choose from hcn")
    assert cut.startswith("model=999") and "...(5007 characters)..." in cut and cut.endswith("choose from hcn")
    assert len(cut) < 200


def test_a_failed_command_prints_a_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line():
        raise SettingError(f"eps={'9' * 100_000} is too large")
    assert ended.value.code == 2
    assert len(capsys.readouterr().err) < 200
