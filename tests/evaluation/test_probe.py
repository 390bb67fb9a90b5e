import pytest

from storyreel.errors import WeightsError
from storyreel.evaluation.probe import Probe, load_probe


@pytest.fixture
def folder(tmp_path):
    Probe(("kitchen", "garden"), ("cat",), width=4).save_pretrained(tmp_path / "probe")
    return tmp_path / "probe"


def test_loading_prints_nothing(folder, capfd, caplog):
    assert load_probe(folder).config["width"] == 4
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_a_damaged_or_missing_probe_is_one_line(folder):
    weights = folder / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for place in (folder, folder / "nowhere"):
        with pytest.raises(WeightsError, match=f"{place.name} holds no probe that can be read: ") as caught:
            load_probe(place)
        assert "\n" not in str(caught.value)
