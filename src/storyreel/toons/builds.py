"""The measures of the five species."""

from __future__ import annotations

from dataclasses import dataclass

from storyreel.toons.script import Species
from storyreel.toons.shapes import Point


@dataclass(frozen=True)
class Build:
    """The measures of a species, standing: distances above the ground, half sizes (rx, ry) of ellipses."""

    head_y: float
    head: Point
    body_y: float
    body: Point
    leg: float
    arm: float
    limb: float
    hand: float
    foot: Point
    hips: float
    collar: Point
    eye: tuple[float, float, float, float]
    """(x, y) of the right eye from the middle of the head, then (rx, ry)."""


BUILD: dict[Species, Build] = {
    "cat": Build(
        head_y=0.328,
        head=(0.124, 0.102),
        body_y=0.158,
        body=(0.074, 0.086),
        leg=0.082,
        arm=0.115,
        limb=0.034,
        hand=0.029,
        foot=(0.048, 0.026),
        hips=0.042,
        collar=(0.064, 0.080),
        eye=(0.044, -0.022, 0.037, 0.048),
    ),
    "mouse": Build(
        head_y=0.172,
        head=(0.084, 0.071),
        body_y=0.082,
        body=(0.049, 0.052),
        leg=0.046,
        arm=0.070,
        limb=0.022,
        hand=0.020,
        foot=(0.033, 0.018),
        hips=0.025,
        collar=(0.047, 0.058),
        eye=(0.031, -0.018, 0.026, 0.036),
    ),
    "dog": Build(
        head_y=0.362,
        head=(0.112, 0.108),
        body_y=0.176,
        body=(0.090, 0.100),
        leg=0.090,
        arm=0.130,
        limb=0.042,
        hand=0.034,
        foot=(0.054, 0.030),
        hips=0.050,
        collar=(0.072, 0.090),
        eye=(0.042, -0.034, 0.035, 0.046),
    ),
    "rabbit": Build(
        head_y=0.290,
        head=(0.098, 0.088),
        body_y=0.138,
        body=(0.070, 0.078),
        leg=0.072,
        arm=0.105,
        limb=0.032,
        hand=0.027,
        foot=(0.060, 0.025),
        hips=0.040,
        collar=(0.058, 0.074),
        eye=(0.038, -0.016, 0.033, 0.046),
    ),
    "duck": Build(
        head_y=0.286,
        head=(0.092, 0.088),
        body_y=0.134,
        body=(0.094, 0.084),
        leg=0.066,
        arm=0.105,
        limb=0.040,
        hand=0.030,
        foot=(0.050, 0.020),
        hips=0.040,
        collar=(0.062, 0.070),
        eye=(0.034, -0.026, 0.032, 0.046),
    ),
}
