"""Features from weights in a folder, and from the probe."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTModel,
)

from storyreel.assets import DEMO_PROBE
from storyreel.errors import WeightsError
from storyreel.evaluation.metrics.features import ProbeFeatures
from storyreel.evaluation.metrics.folder_features import BICUBIC, BILINEAR, FolderFeatures
from storyreel.evaluation.probe import load_probe, probe_frames, read_segments

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    "intermediate_size": 32,
}  # fmt: skip
PICTURES = list(np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8))
CLIP_COLOURS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_COLOURS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def save(kind: str, folder: Path) -> Any:
    """Saves a tiny model of random weights, and returns it."""
    torch.manual_seed(0)
    if kind == "clip_projected":
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=8))
    elif kind == "clip_vision_model":
        model = CLIPVisionModel(CLIPVisionConfig(**SIZES, projection_dim=8))
    elif kind == "clip":
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        config = CLIPConfig(vision_config=SIZES | {"projection_dim": 8}, text_config=text, projection_dim=8)
        model = CLIPModel(config)
    elif kind == "dinov2":
        model = Dinov2Model(Dinov2Config(**SIZES))
    else:
        model = ViTModel(ViTConfig(**SIZES), add_pooling_layer=False)
    model.eval().save_pretrained(folder)
    return model


def write_preprocessing(folder: Path, **settings: object) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")


@torch.no_grad()
def expected(kind: str, model: Any, pixels: torch.Tensor) -> np.ndarray:
    """What transformers itself makes of prepared pixels."""
    if kind == "clip":
        return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output).numpy()
    found = model(pixel_values=pixels)
    if kind == "clip_projected":
        return found.image_embeds.numpy()
    return (found.pooler_output if kind == "clip_vision_model" else found.last_hidden_state[:, 0]).numpy()


def normalised(pictures: np.ndarray, colours: tuple[tuple[float, ...], tuple[float, ...]]) -> torch.Tensor:
    mean, std = (torch.tensor(own)[:, None, None] for own in colours)
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - mean) / std


@pytest.mark.parametrize(
    ("kind", "width"), [("clip_projected", 8), ("clip_vision_model", 16), ("clip", 8), ("dinov2", 16), ("vit", 16)]
)
def test_a_folder_s_model_makes_features_and_is_named_with_its_hash(kind: str, width: int, tmp_path: Path) -> None:
    model = save(kind, tmp_path / "eye")
    features = FolderFeatures(tmp_path / "eye", CPU)
    assert features.name == f"{kind.replace('projected', 'vision_model')} of eye"
    weights = (tmp_path / "eye" / "model.safetensors").read_bytes()
    assert features.sha256 == hashlib.sha256(weights).hexdigest()
    found = features(PICTURES)
    assert found.shape == (3, width)
    np.testing.assert_allclose(features(PICTURES[1:2])[0], found[1], atol=1e-5)
    fitting = np.random.default_rng(1).integers(0, 256, (2, 28, 28, 3), np.uint8)
    pixels = normalised(fitting, CLIP_COLOURS if kind.startswith("clip") else IMAGENET_COLOURS)
    np.testing.assert_allclose(features(list(fitting)), expected(kind, model, pixels), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "settings", "resized", "crop"),
    [
        ("clip_projected", {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}, (42, 28), 28),
        ("clip_projected", {"size": 28, "crop_size": 28, "do_center_crop": True, "resample": 3}, (42, 28), 28),
        ("dinov2", {"size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}}, (48, 32), 28),
        ("dinov2", {"size": {"shortest_edge": 46}, "crop_size": {"height": 42, "width": 42}}, (69, 46), 42),
        ("vit", {"size": {"height": 28, "width": 28}, "resample": 2}, (28, 28), None),
    ],
)
def test_pictures_are_prepared_as_the_folder_says(
    kind: str, settings: dict[str, object], resized: tuple[int, int], crop: int | None, tmp_path: Path
) -> None:
    model = save(kind, tmp_path)
    colours = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    write_preprocessing(tmp_path, **settings, image_mean=colours[0], image_std=colours[1])
    smooth = np.stack([np.linspace(0, 255, 60)[None].repeat(40, 0), np.linspace(255, 0, 40)[:, None].repeat(60, 1),
                       np.full((40, 60), 90)], axis=-1).astype(np.uint8)  # fmt: skip
    how = Image.Resampling(BILINEAR if kind == "vit" else BICUBIC)
    made = np.array(Image.fromarray(smooth).resize(resized, how))
    if crop:
        top, left = (made.shape[0] - crop) // 2, (made.shape[1] - crop) // 2
        made = made[top : top + crop, left : left + crop]
    found = FolderFeatures(tmp_path, CPU)([smooth])
    wanted = expected(kind, model, normalised(made[None], colours))
    # Pillow rounds after each of its two passes, which moves a pixel by a level here and there.
    np.testing.assert_allclose(found, wanted, atol=0.02)
    assert np.abs(found - wanted).max() < 0.1 * np.abs(found).max()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    save("vit", tmp_path / "vit")
    write_preprocessing(tmp_path / "vit", size={"height": 56, "width": 56})
    with pytest.raises(WeightsError, match=r"makes pictures of \(56, 56\), but the model takes 28 x 28"):
        FolderFeatures(tmp_path / "vit", CPU)
    for broken in ({"size": {"longest_edge": 28}}, {"size": "big"}):
        write_preprocessing(tmp_path / "vit", **broken)
        with pytest.raises(WeightsError, match=r"preprocessor_config\.json does not say how pictures are prepared"):
            FolderFeatures(tmp_path / "vit", CPU)
    save("dinov2", tmp_path / "dino")
    weights = tmp_path / "dino" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if "layer.1.attention" not in name}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks \d+ of the model's weights, .*layer\.1\.attention"):
        FolderFeatures(tmp_path / "dino", CPU)


def test_pickles_other_models_and_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere is no folder"):
        FolderFeatures(tmp_path / "nowhere", CPU)
    with pytest.raises(WeightsError, match=r"no weights as safetensors\. Save"):
        FolderFeatures(tmp_path, CPU)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"no weights as safetensors, only pytorch_model\.bin, a pickle"):
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
