"""Features from weights in a folder, and from the probe."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

from storyreel.assets import DEMO_PROBE
from storyreel.errors import WeightsError
from storyreel.evaluation.metrics.features import FolderFeatures, ProbeFeatures
from storyreel.evaluation.probe import load_probe, probe_frames, read_segments

CPU = torch.device("cpu")
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
PICTURES = list(np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8))


def save(kind: str, folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    if kind == "clip_vision_model":
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, intermediate_size=32, projection_dim=8))
    else:
        model = Dinov2Model(Dinov2Config(**SIZES))
    model.eval().save_pretrained(folder)
    return model


@pytest.mark.parametrize(("kind", "width"), [("clip_vision_model", 8), ("dinov2", 16)])
def test_a_folder_s_model_makes_features_and_is_named_with_its_hash(kind: str, width: int, tmp_path: Path) -> None:
    model = save(kind, tmp_path / "eye")
    features = FolderFeatures(tmp_path / "eye", CPU)
    assert features.name == f"{kind} of eye"
    weights = (tmp_path / "eye" / "model.safetensors").read_bytes()
    assert features.sha256 == hashlib.sha256(weights).hexdigest()
    found = features(PICTURES)
    assert found.shape == (3, width)
    np.testing.assert_allclose(features(PICTURES[1:2])[0], found[1], atol=1e-5)
    grey = np.full((28, 28, 3), 128, np.uint8)
    clip = kind.startswith("clip")
    mean = (0.48145466, 0.4578275, 0.40821073) if clip else (0.485, 0.456, 0.406)
    std = (0.26862954, 0.26130258, 0.27577711) if clip else (0.229, 0.224, 0.225)
    pixels = (torch.full((1, 3, 28, 28), 128 / 255) - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[
        :, None, None
    ]
    with torch.no_grad():
        own = model(pixel_values=pixels)
    expected = own.image_embeds if clip else own.last_hidden_state[:, 0]
    np.testing.assert_allclose(features([grey]), expected.numpy(), atol=1e-4)


def test_pickles_other_models_and_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights as safetensors"):
        FolderFeatures(tmp_path, CPU)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="no weights as safetensors"):
        FolderFeatures(tmp_path, CPU)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="no model that can be read"):
        FolderFeatures(tmp_path, CPU)
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="holds a bert, but features come from"):
        FolderFeatures(tmp_path, CPU)


def test_the_probe_reads_from_features_what_it_reads_from_a_segment() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (48, 128, 192, 3), np.uint8)
    frames[:] = frames[::12].repeat(12, 0)
    features = ProbeFeatures(DEMO_PROBE, CPU)
    probe = load_probe(DEMO_PROBE)
    places, characters = read_segments(probe, torch.from_numpy(frames)[None])
    seen = ((probe_frames(torch.from_numpy(frames)[None])[0].permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
    place, species = features.read(features(list(seen)))
    assert place == probe.config["places"][int(places[0])]
    assert species == {n for n, there in zip(probe.config["characters"], characters[0].tolist(), strict=True) if there}
