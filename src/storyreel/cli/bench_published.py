"""What others measured on an H100 of a block of 3072 features and 48 heads at 720x480, beside which ours stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Ratios to a block with local attention alone, and milliseconds; None where there is no figure.

    Ratios of 63 s: arXiv 2504.05298. Milliseconds, and what follows from them (TTT-Linear, 30 s): the authors' code
    (ttt-video-dit @6c316a7, ttt-tk @353b6c8), timed by this project; a training step rematerialises the block.
    """

    forward_ms: float | None = None
    forward_ratio: float | None = None
    training_ms: float | None = None
    training_ratio: float | None = None


WIDTH, HEADS, HEIGHT, FRAME_WIDTH = 3072, 48, 480, 720

PUBLISHED = {
    (63, "local"): Published(393, 1.0, 2048, 1.0),
    (63, "full"): Published(forward_ratio=11, training_ratio=12),
    (63, "gated_deltanet"): Published(forward_ratio=1.8, training_ratio=1.8),
    (63, "ttt_linear"): Published(654, 1.66),
    (63, "ttt_mlp"): Published(964, 2.5, 7806, 3.8),
    (30, "local"): Published(training_ms=934, training_ratio=1.0),
    (30, "ttt_mlp"): Published(training_ms=3662, training_ratio=3.92),
}


def published(seconds: int, layer: str, width: int, heads: int, height: int, frame_width: int) -> Published | None:
    """None for other sizes, and where nobody has measured."""
    if (width, heads, height, frame_width) != (WIDTH, HEADS, HEIGHT, FRAME_WIDTH):
        return None
    return PUBLISHED.get((seconds, layer))
