"""Sizes and orders: every property that the rest of storyreel relies on."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from storyreel.errors import GeometryError
from storyreel.geometry import (
    FRAMES_PER_SECOND,
    SEGMENT_SECONDS,
    STAGE_SECONDS,
    Compression,
    LatentShape,
    PixelShape,
    TokenLayout,
    largest_text_tokens,
)

few_examples = settings(max_examples=60, deadline=None)


@st.composite
def layouts(draw: st.DrawFn) -> TokenLayout:
    """Small layouts of every kind: a still, one segment or many, any grid, either direction."""
    per_segment = draw(st.sampled_from([0, 1, 2, 12]))
    layout = TokenLayout(
        segments=draw(st.integers(1, 6)) if per_segment else 1,
        text_tokens=draw(st.integers(1, 9)),
        rows=draw(st.integers(1, 4)),
        columns=draw(st.integers(1, 4)),
        mini_batch=draw(st.sampled_from([1, 4, 64])),
        latents_per_segment=per_segment,
    )
    return layout.reversed() if draw(st.booleans()) else layout


def text_and_video(layout: TokenLayout) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers that name their token: text -1, -2, ... and video 0, 1, ..., both in time order, with one channel."""
    texts = layout.segments * layout.text_tokens
    text = -1 - torch.arange(texts).reshape(1, layout.segments, layout.text_tokens, 1)
    return text, torch.arange(layout.video_tokens).reshape(1, -1, 1)


# Sizes


@pytest.mark.parametrize(("seconds", "text_tokens"), [(3, 498), (9, 502), (18, 471), (30, 497), (63, 458)])
def test_text_length_at_cogvideox_geometry_is_the_papers(seconds: int, text_tokens: int) -> None:
    assert TokenLayout.for_video(seconds).text_tokens == text_tokens


def test_a_minute_at_cogvideox_geometry_has_the_papers_sizes() -> None:
    layout = TokenLayout.for_video(63)
    assert (layout.latents, layout.tokens_per_latent) == (253, 1350)
    assert layout.total_tokens == 351_168
    assert layout.total_tokens // layout.mini_batch == 5_487
    assert PixelShape.for_video(63, 480, 720).frames == 1009


@pytest.mark.parametrize(("seconds", "video_tokens"), [(3, 1248), (9, 3552), (63, 24288)])
def test_demo_geometry(seconds: int, video_tokens: int) -> None:
    layout = TokenLayout.for_video(seconds, height=128, width=192, max_text_tokens=128)
    assert (layout.rows, layout.columns, layout.text_tokens) == (8, 12, 96)
    assert layout.video_tokens == video_tokens


def test_a_still_is_one_latent_frame_under_one_text() -> None:
    still = TokenLayout.for_still(128, 192, mini_batch=64, max_text_tokens=112)
    assert still == TokenLayout(1, 96, 8, 12, mini_batch=64, latents_per_segment=0)
    assert (still.seconds, still.latents, still.video_tokens, still.total_tokens) == (0, 1, 96, 192)
    assert still.window_tokens == 192
    assert [list(still.latents_of(i)) for i in range(still.segments)] == [[0]]
    assert still.latents == PixelShape(1, 128, 192).latent().frames


@few_examples
@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 12),
    patch=st.sampled_from([1, 2]),
    mini_batch=st.integers(1, 64),
    limit=st.integers(1, 200),
)
def test_a_still_has_the_largest_text_that_divides(
    rows: int, columns: int, patch: int, mini_batch: int, limit: int
) -> None:
    by = Compression(space=16)
    sides = rows * patch * by.space, columns * patch * by.space
    dividing = [n for n in range(1, limit + 1) if (rows * columns + n) % mini_batch == 0]
    if dividing:
        layout = TokenLayout.for_still(
            *sides, mini_batch=mini_batch, patch=patch, max_text_tokens=limit, compression=by
        )
        assert layout == TokenLayout(1, dividing[-1], rows, columns, mini_batch, 0)
        assert layout.total_tokens % mini_batch == 0
    else:
        with pytest.raises(GeometryError, match=f"{rows * columns} video tokens and 1 texts of 1 to {limit} tokens"):
            TokenLayout.for_still(*sides, mini_batch=mini_batch, patch=patch, max_text_tokens=limit, compression=by)


@pytest.mark.parametrize("seconds", STAGE_SECONDS)
def test_seconds_survive_the_way_to_tokens_and_back(seconds: int) -> None:
    layout = TokenLayout.for_video(seconds)
    assert layout.seconds == seconds
    assert layout.latents == PixelShape.for_video(seconds, 480, 720).latent().frames
    assert (layout.latents - 1) * Compression().time == seconds * FRAMES_PER_SECOND


@few_examples
@given(
    video_tokens=st.integers(1, 5000),
    segments=st.integers(1, 21),
    mini_batch=st.integers(1, 64),
    limit=st.integers(1, 200),
)
def test_text_length_is_the_largest_that_divides(video_tokens: int, segments: int, mini_batch: int, limit: int) -> None:
    dividing = [n for n in range(1, limit + 1) if (video_tokens + segments * n) % mini_batch == 0]
    if dividing:
        assert largest_text_tokens(video_tokens, segments, mini_batch, limit) == dividing[-1]
    else:
        with pytest.raises(GeometryError, match=rf"{video_tokens} video tokens .* mini-batch, {mini_batch}\."):
            largest_text_tokens(video_tokens, segments, mini_batch, limit)


# Refusals


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [(0, r"length is 0 s.*Try 3"), (-3, r"length is -3 s.*Try 3"), (7, r"length is 7 s.*Try 6"), (62, r"62 s.*Try 63")],
)
def test_lengths_that_are_no_whole_segments_are_refused(seconds: int, reason: str) -> None:
    with pytest.raises(GeometryError, match=reason):
        TokenLayout.for_video(seconds)
    with pytest.raises(GeometryError, match=reason):
        PixelShape.for_video(seconds, 480, 720)


@pytest.mark.parametrize(
    ("height", "width", "reason"),
    [
        (481, 720, r"height is 481 pixels, but the VAE needs a multiple of 8\. Try 480"),
        (480, 725, r"width is 725 pixels, but the VAE needs a multiple of 8\. Try 728"),
        (0, 720, r"height is 0 pixels.*Try 8"),
        (480, -16, r"width is -16 pixels.*Try 8"),
        (488, 720, r"latent frame is 61x90.*multiples of 16 pixels"),
    ],
)
def test_frame_sizes_that_no_patches_fill_are_refused(height: int, width: int, reason: str) -> None:
    with pytest.raises(GeometryError, match=reason):
        TokenLayout.for_video(3, height, width)
    with pytest.raises(GeometryError, match=reason):
        TokenLayout.for_still(height, width)


def test_frame_counts_that_the_vae_cannot_make_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"frames is 48, but the VAE needs 1 \+ a multiple of 4"):
        PixelShape(48, 480, 720).latent()
    assert PixelShape(49, 480, 720).latent() == LatentShape(13, 60, 90, 16)


def test_text_limits_and_mini_batches_that_leave_no_layout_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"texts of 1 to 31 tokens never make a multiple of the mini-batch, 64"):
        TokenLayout.for_video(3, 128, 192, max_text_tokens=31)
    with pytest.raises(GeometryError, match="mini-batch is 0"):
        TokenLayout.for_video(3, mini_batch=0)


def test_tokens_of_another_layout_are_refused() -> None:
    layout = TokenLayout(2, 3, 2, 2)
    text, video = text_and_video(layout)
    with pytest.raises(GeometryError, match="this layout has 2 segments of 3 text tokens and 100 video tokens"):
        layout.interleave(text[:, :1], video)
    with pytest.raises(GeometryError, match="sequence is 105 tokens, but this layout has 106"):
        layout.separate(layout.interleave(text, video)[:, 1:])


# Orders


@few_examples
@given(layouts())
def test_interleave_and_separate_are_inverse_permutations(layout: TokenLayout) -> None:
    text, video = text_and_video(layout)
    sequence = layout.interleave(text, video)
    expected = torch.cat([text.flatten(), video.flatten()]).sort().values
    assert torch.equal(sequence.flatten().sort().values, expected)
    text_again, video_again = layout.separate(sequence)
    assert torch.equal(text_again, text)
    assert torch.equal(video_again, video)


@few_examples
@given(layouts())
def test_reversed_twice_is_the_identity(layout: TokenLayout) -> None:
    assert layout.reversed() != layout
    assert layout.reversed().reversed() == layout
    there, back = layout.reverse_index(), layout.reversed().reverse_index()
    everyone = torch.arange(layout.total_tokens)
    assert torch.equal(there.sort().values, everyone)
    assert torch.equal(there[back], everyone)
    assert torch.equal(back[there], everyone)


@few_examples
@given(layouts())
def test_reverse_index_moves_a_sequence_to_the_reversed_layout(layout: TokenLayout) -> None:
    text, video = text_and_video(layout)
    sequence = layout.interleave(text, video)
    assert torch.equal(sequence[:, layout.reverse_index()], layout.reversed().interleave(text, video))


@few_examples
@given(layouts())
def test_borders_are_exact_in_both_directions(layout: TokenLayout) -> None:
    position = 0
    for segment, (text, video) in zip(layout.segment_order(), layout.segment_slices(), strict=True):
        latents = layout.latents_per_segment + (1 if segment == 0 else 0)
        assert (text.start, text.stop) == (position, position + layout.text_tokens)
        assert (video.start, video.stop) == (text.stop, text.stop + latents * layout.rows * layout.columns)
        position = video.stop
    assert position == layout.total_tokens


def test_the_13_frame_segment_is_first_forward_and_last_in_reverse() -> None:
    layout = TokenLayout.for_video(9, 128, 192, max_text_tokens=128)

    def latents_a_segment(own: TokenLayout) -> list[int]:
        return [(video.stop - video.start) // own.tokens_per_latent for _, video in own.segment_slices()]

    assert latents_a_segment(layout) == [13, 12, 12]
    assert latents_a_segment(layout.reversed()) == [12, 12, 13]
    assert list(layout.reversed().segment_order()) == [2, 1, 0]


def test_a_reversed_sequence_written_out() -> None:
    layout = TokenLayout(segments=2, text_tokens=2, rows=1, columns=2, latents_per_segment=1)
    text, video = text_and_video(layout)
    assert layout.interleave(text, video).flatten().tolist() == [-1, -2, 0, 1, 2, 3, -3, -4, 4, 5]
    assert layout.reversed().interleave(text, video).flatten().tolist() == [-3, -4, 5, 4, -1, -2, 3, 2, 1, 0]


@few_examples
@given(layouts())
def test_token_facts_agree_with_the_order(layout: TokenLayout) -> None:
    text, video = text_and_video(layout)
    names = layout.interleave(text, video).flatten()
    is_text, segment, positions = layout.is_text(), layout.segment_of(), layout.video_positions()
    assert torch.equal(is_text, names < 0)
    assert torch.equal(segment[is_text], (-1 - names[is_text]) // layout.text_tokens)
    assert (positions[is_text] == -1).all()
    latent, row, column = positions[~is_text].unbind(-1)
    assert torch.equal((latent * layout.rows + row) * layout.columns + column, names[~is_text])
    assert torch.equal(segment[~is_text], (latent - 1).clamp(min=0) // max(1, layout.latents_per_segment))


@few_examples
@given(layouts())
def test_local_windows_cover_every_token(layout: TokenLayout) -> None:
    windows, count = layout.window_index(), layout.window_count()
    assert windows.shape == (layout.segments, layout.window_tokens)
    assert set(windows.flatten().tolist()) == set(range(layout.total_tokens))
    assert torch.equal(torch.bincount(windows.flatten(), minlength=layout.total_tokens), count)
    latent = layout.video_positions()[:, 0]
    inner = (latent > 0) & (latent < layout.latents - 1) & (latent % max(1, layout.latents_per_segment) == 0)
    assert torch.equal(count == 2, inner)
    assert torch.equal(count == 1, ~inner)


@few_examples
@given(layouts())
def test_a_window_is_its_text_and_its_frames_in_time_order(layout: TokenLayout) -> None:
    text, video = text_and_video(layout)
    names = layout.interleave(text, video).flatten()
    step = layout.latents_per_segment * layout.tokens_per_latent
    for number, window in enumerate(layout.window_index()):
        assert torch.equal(names[window][: layout.text_tokens], text[0, number, :, 0])
        first = number * step
        assert torch.equal(
            names[window][layout.text_tokens :], torch.arange(first, first + step + layout.tokens_per_latent)
        )


def test_indices_made_in_inference_mode_serve_training_too() -> None:
    layout = dataclasses.replace(TokenLayout(2, 3, 2, 2), mini_batch=59)
    with torch.inference_mode():
        index = layout.reverse_index()
    values = torch.randn(layout.total_tokens, 1, requires_grad=True)
    values[index].sum().backward()
    assert values.grad is not None
    assert (values.grad == 1).all()


def test_segment_and_stage_lengths_are_the_papers() -> None:
    assert STAGE_SECONDS == (3, 9, 18, 30, 63)
    assert all(seconds % SEGMENT_SECONDS == 0 for seconds in STAGE_SECONDS)
