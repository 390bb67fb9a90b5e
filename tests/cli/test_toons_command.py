import pytest

from storyreel.cli.toons import Toons, parse_size, run
from storyreel.errors import ConfigError


def test_draws_and_says_so(tmp_path, capsys):
    options = Toons(tmp_path / "out", stories=1, seconds=3, size="64x48", workers=1)
    assert run(options) == 0
    assert "1 stories of 3 s, 1 drawn now" in capsys.readouterr().out
    assert run(options) == 0
    assert "1 were there already" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["192", "192x", "axb", "192X128", "-1x5"])
def test_sizes_that_are_none(size):
    with pytest.raises(ConfigError, match="--size"):
        parse_size(size)


def test_no_workers(tmp_path):
    with pytest.raises(ConfigError, match="--workers is 0"):
        run(Toons(tmp_path, workers=0))
