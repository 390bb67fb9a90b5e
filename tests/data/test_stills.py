"""Stills of drawn clips and their latents, with a real autoencoder at a tiny size."""

import json

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from storyreel.data import latent_clips
from storyreel.data.clip_config import ClipConfig
from storyreel.data.clips import read_clip
from storyreel.data.latent_clips import DrawnClips, LatentClips, encode_clips, still_frames
from storyreel.data.toon_clips import draw_clips
from storyreel.errors import TrainingError
from storyreel.models.vae import encode

COUNT, STILLS = 5, 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    draw_clips(ClipConfig(COUNT, 2, 3, 16, 32), folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    widths = (32, 32, 32, 32)
    return AutoencoderKLCogVideoX(block_out_channels=widths, layers_per_block=1, latent_channels=4).eval()


@pytest.mark.parametrize(("frames", "count"), [(49, 1), (49, 6), (145, 6), (49, 49), (7, 5)])
def test_moments_are_one_in_each_part_of_the_clip_by_its_number_alone(frames, count):
    for number in range(40):
        moments = still_frames(number, frames, count)
        assert moments == still_frames(number, frames, count)
        assert len(set(moments)) == count
        assert [(count * (frame + 1) - 1) // frames for frame in moments] == list(range(count))
    seen = {frame for number in range(2000) for frame in still_frames(number, frames, count)}
    assert seen == set(range(frames))


@pytest.mark.parametrize("count", [-1, 50])
def test_more_stills_than_frames_are_refused(count):
    with pytest.raises(TrainingError, match=rf"^stills is {count}, but a clip of 49 frames has 1 to 49\. Try 6"):
        still_frames(0, 49, count)


def test_every_still_has_the_text_and_labels_of_its_segment(clips):
    for number in range(COUNT):
        clip = read_clip(clips, number)
        videos, records = DrawnClips(clips, [number], 97)[0]
        assert [record["frame"] for record in records] == list(range(97))
        assert torch.equal(videos, torch.from_numpy(clip.frames)[:, None])
        for frame, record in enumerate(records):
            segment = 0 if frame <= 48 else 1
            assert record["number"] == number
            assert tuple(record["texts"]) == (clip.texts[segment],)
            assert tuple(record["places"]) == (clip.places[segment],)
            assert tuple(record["characters"]) == (clip.characters[segment],)


def test_each_still_is_encoded_as_a_video_of_one_frame(clips, vae, tmp_path):
    assert encode_clips(clips, tmp_path, vae, stills=STILLS, batch=2, workers=0) == COUNT
    stills = LatentClips.load(tmp_path)
    assert stills.latents.shape == (COUNT * STILLS, 1, 4, 2, 4)
    assert stills.latents.dtype == torch.bfloat16
    for number in range(COUNT):
        clip = read_clip(clips, number)
        for which, frame in enumerate(still_frames(number, 97, STILLS)):
            row = STILLS * number + which
            pixels = torch.from_numpy(clip.frames[frame]).permute(2, 0, 1)[None, :, None] / 127.5 - 1
            mean, _ = encode(vae, pixels)
            torch.testing.assert_close(stills.latents[row].float(), mean[0].transpose(0, 1), atol=0.02, rtol=0.02)
            assert stills.texts[row] == [clip.texts[0 if frame <= 48 else 1]]


def test_shards_hold_whole_clips_and_a_broken_off_encoding_goes_on(clips, vae, tmp_path, monkeypatch):
    monkeypatch.setattr(latent_clips, "SHARD_CLIPS", 2)
    options = {"stills": STILLS, "batch": 2, "workers": 0}
    for name in ("one", "again"):
        encode_clips(clips, tmp_path / name, vae, **options)
    one, again = (LatentClips.load(tmp_path / name) for name in ("one", "again"))
    assert torch.equal(one.latents, again.latents)
    assert one.texts == again.texts
    sizes = [len(json.loads(path.read_text())) for path in sorted((tmp_path / "one").glob("*.json"))]
    assert sizes == [2 * STILLS, 2 * STILLS, STILLS]
    (tmp_path / "again" / "latents_0001.json").unlink()
    assert encode_clips(clips, tmp_path / "again", vae, **options) == 2
    assert encode_clips(clips, tmp_path / "again", vae, **options) == 0
    again = LatentClips.load(tmp_path / "again")
    order = [number * STILLS + still for number in (0, 1, 4, 2, 3) for still in range(STILLS)]
    assert torch.equal(again.latents, one.latents[order])
    assert again.texts == [one.texts[row] for row in order]


def test_another_number_of_stills_in_one_folder_is_refused(clips, vae, tmp_path):
    encode_clips(clips, tmp_path / "one", vae, stills=1, workers=0)
    for stills in (0, 2):
        with pytest.raises(TrainingError, match=f"does not hold {stills} stills of each clip"):
            encode_clips(clips, tmp_path / "one", vae, stills=stills, workers=0)
