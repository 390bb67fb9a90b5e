"""How everyone moves: a pose as a function of action, mood and time.

A pose is plain numbers, so that two poses blend by blending their numbers. Lengths are relative (to height, leg or
arm), so that one motion serves every species. x is forward (the side that a character faces), y of limbs is down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from storyreel.toons.script import Action
from storyreel.toons.stance import MOODS, SIDE, TAU, Clock, Pose, smooth


def pose_of(action: Action, clock: Clock) -> Pose:
    """The pose of an action at a moment, facing right; its mood shows wherever the action leaves the face alone."""
    pose = _breathing(Pose(**MOODS[clock.mood]), clock)
    pose = _ACTIONS[action](pose, clock)
    if clock.speed and action not in ("walk", "run", "crash", "jump", "fall"):
        pose = _legs(pose, clock, run=clock.speed > 7)
    return pose


def _breathing(pose: Pose, clock: Clock) -> Pose:
    return pose._replace(stretch=1 + 0.012 * clock.wave(0.5), tail=0.5 * clock.wave(0.6))


def _foot(phase: float, stance: float) -> tuple[float, float]:
    """(forward, up) of a foot in its cycle, forward from 1 to -1 while it stands."""
    phase %= 1.0
    if phase < stance:
        return 1 - 2 * phase / stance, 0.0
    swing = (phase - stance) / (1 - stance)
    return -math.cos(math.pi * swing), math.sin(math.pi * swing)


def _legs(pose: Pose, clock: Clock, run: bool) -> Pose:
    """Feet and bounce of a walk or run; the cycle follows the way gone, so that standing feet stay where they are."""
    reach, stance = (1.25, 0.42) if run else (0.8, 0.6)
    phase = clock.steps * stance / (2 * reach)
    near_x, near_y = _foot(phase, stance)
    far_x, far_y = _foot(phase + 0.5, stance)
    bounce = abs(math.sin(TAU * phase))
    return pose._replace(
        near_foot_x=reach * near_x, near_foot_y=near_y * (0.75 if run else 0.4), far_foot_x=reach * far_x,
        far_foot_y=far_y * (0.75 if run else 0.4), lift=(0.05 if run else 0.018) * bounce,
        stretch=1 + (0.05 if run else 0.02) * (bounce - 0.5), tail=math.sin(TAU * phase),
    )  # fmt: skip


def _stand(pose: Pose, clock: Clock) -> Pose:
    if clock.mood == "angry":
        tap = max(0.0, clock.wave(2.2))
        return pose._replace(
            near_x=-0.45, near_y=0.55, far_x=0.55, far_y=0.5, near_foot_x=0.3, near_foot_y=0.22 * tap, lean=3
        )
    if clock.mood == "happy":
        hop = abs(clock.wave(0.9))
        return pose._replace(
            lift=0.02 * hop,
            stretch=1 + 0.03 * (hop - 0.5),
            near_x=0.35,
            near_y=0.7,
            far_x=0.4,
            far_y=0.7,
            tail=clock.wave(1.8),
        )
    if clock.mood == "scared":
        shake = 0.012 * clock.wave(6)
        return pose._replace(
            head_x=shake,
            near_x=-0.32,
            near_y=0.78,
            near_on_face=1,
            far_x=0.3,
            far_y=0.8,
            far_on_face=1,
            drop=0.35,
            tail=0.3 * clock.wave(6),
        )
    if clock.mood == "surprised":
        start = math.exp(-6 * clock.seconds) * abs(math.sin(9 * clock.seconds))
        return pose._replace(lift=0.22 * start, near_x=-0.3, near_y=-0.35, far_x=0.6, far_y=-0.3, stretch=1.04)
    if clock.mood == "sad":
        return pose._replace(near_x=0.2, near_y=1.0, far_x=0.2, far_y=1.0, head_tilt=7, lean=4, tail=0.1)
    if clock.mood == "sleepy":
        nod = max(0.0, clock.wave(0.45))
        return pose._replace(head_y=0.012 + 0.03 * nod, head_tilt=6 * nod, lids=0.55 + 0.4 * nod)
    return pose


def _walk(pose: Pose, clock: Clock) -> Pose:
    pose = _legs(pose, clock, run=False)
    swing = math.sin(TAU * clock.steps * 0.6 / 1.6)
    slow = clock.mood in ("sad", "sleepy")
    return pose._replace(
        lean=6 if slow else 2.5, near_x=0.1 - 0.6 * swing, near_y=0.85, far_x=0.1 + 0.6 * swing, far_y=0.85,
        head_tilt=8 if clock.mood == "sad" else 2 * swing,
    )  # fmt: skip


def _run(pose: Pose, clock: Clock) -> Pose:
    pose = _legs(pose, clock, run=True)
    swing = math.sin(TAU * clock.steps * 0.42 / 2.5)
    if clock.mood == "scared":
        flail = 0.25 * clock.wave(4)
        arms = {"near_x": -0.3 + flail, "near_y": -0.8, "far_x": 0.5 - flail, "far_y": -0.8}
    elif clock.mood == "angry":
        arms = {"near_x": 0.95, "near_y": 0.05 + 0.2 * swing, "far_x": 0.95, "far_y": 0.05 - 0.2 * swing}
    else:
        arms = {"near_x": 0.1 - 0.8 * swing, "near_y": 0.45, "far_x": 0.1 + 0.8 * swing, "far_y": 0.45}
    lean = -4 if clock.mood == "scared" else 12
    return pose._replace(
        lean=lean, ears=max(pose.ears, 0.6), dust=1.0, head_x=pose.head_x + 0.03, mouth=max(pose.mouth, 0.3), **arms
    )


HOP_SECONDS = 0.75


def hop_of(seconds: float, length: float) -> tuple[int, int, float]:
    """(number of the hop, hops in all, share of this hop) of a jump of a length."""
    hops = max(1, round(length / HOP_SECONDS))
    done = min(hops - 1e-6, seconds / length * hops) if length else 0.0
    return int(done), hops, done % 1.0


def _jump(pose: Pose, clock: Clock) -> Pose:
    _, _, share = hop_of(clock.seconds, clock.length)
    high = 4 * (share - 0.2) * (0.85 - share) / 0.65**2 if 0.2 < share < 0.85 else 0.0
    squat = smooth(share / 0.12) * smooth((0.24 - share) / 0.1) + smooth((share - 0.83) / 0.06) * smooth(
        (1 - share) / 0.1
    )
    return pose._replace(
        lift=0.38 * high, stretch=1 + 0.10 * high - 0.26 * squat, drop=0.7 * squat, near_x=0.3, near_y=0.8 - 1.7 * high,
        far_x=0.5, far_y=0.8 - 1.7 * high, near_foot_x=-0.6 * high, near_foot_y=0.35 * high, far_foot_x=0.7 * high,
        far_foot_y=0.15 * high, mouth=max(pose.mouth, 0.5 * high), ears=0.6 * high - 0.3, tail=high,
    )  # fmt: skip


def _sit(pose: Pose, clock: Clock) -> Pose:
    kick = 0.1 * clock.wave(0.8)
    return pose._replace(
        drop=0.95, near_foot_x=1.0, near_foot_y=0.12 + kick, far_foot_x=1.35, far_foot_y=0.12 - kick, near_x=0.5,
        near_y=0.75,
        far_x=0.6, far_y=0.75, head_y=pose.head_y + 0.006 * clock.wave(0.5),
    )  # fmt: skip


def _eat(pose: Pose, clock: Clock) -> Pose:
    """Bites: the food comes up to an open mouth, then chewing with full cheeks."""
    share = (clock.seconds % 0.9) / 0.9
    up = smooth(share / 0.2) * smooth((0.45 - share) / 0.12)
    chew = abs(math.sin(TAU * 3 * clock.seconds)) * (1 - up)
    return pose._replace(
        near_x=-0.22, near_y=1.0 - 0.3 * up, near_on_face=1, far_x=0.34, far_y=0.98 - 0.3 * up, far_on_face=1,
        head_tilt=9 * up, mouth=0.95 * up + 0.22 * chew, smile=0.7, head_y=0.01 * chew,
    )  # fmt: skip


def _laugh(pose: Pose, clock: Clock) -> Pose:
    shake = abs(clock.wave(2.6))
    return pose._replace(
        smile=1.0, mouth=0.75 + 0.25 * shake, grin=1.0, brow=0.0, brow_y=0.3, lean=-5 + 2 * shake,
        head_tilt=-9 + 5 * shake, lids=0.0,
        lift=0.012 * shake, stretch=1 - 0.05 * shake, near_x=0.5, near_y=0.45, far_x=0.45, far_y=0.55, ears=0.1,
        sweat=0.0, tears=0.0,
        tail=clock.wave(2.6),
    )  # fmt: skip


def _fall(pose: Pose, clock: Clock) -> Pose:
    """Feet fly up, down on the back with a bounce, legs in the air, then dazed."""
    fly = smooth(clock.seconds / 0.4)
    landed = smooth((clock.seconds - 0.36) / 0.08)
    bounce = math.exp(-5 * max(0.0, clock.seconds - 0.44)) * abs(math.sin(11 * max(0.0, clock.seconds - 0.44)))
    kick = clock.wave(1.6) * landed
    arc = math.sin(math.pi * min(1.0, clock.seconds / 0.44))
    return pose._replace(
        roll=-86 * fly, lift=0.16 * arc + 0.05 * bounce, stretch=1 - 0.12 * landed * math.exp(-9 * max(0.0,
        clock.seconds - 0.44)),
        near_x=-0.5 - 0.2 * kick, near_y=-0.7, far_x=0.8, far_y=-0.5 + 0.2 * kick, near_foot_x=0.9 + 0.3 * kick,
        near_foot_y=0.5,
        far_foot_x=0.5 - 0.3 * kick, far_foot_y=0.35, smile=-0.5, mouth=0.7 * (1 - 0.6 * landed), brow=-0.5,
        brow_y=0.5, ears=0.8,
        dizzy=smooth((clock.seconds - 0.5) / 0.1), dust=landed * math.exp(-3 * max(0.0, clock.seconds - 0.44)),
        wide=1.1, sweat=0.0,
    )  # fmt: skip


def _sleep(pose: Pose, clock: Clock) -> Pose:
    """Curled up on the ground with the head on the paws."""
    breath = clock.wave(0.36)
    return pose._replace(
        drop=1.0, stretch=0.86 + 0.025 * breath, lean=0, head_x=0.19, head_y=0.24 + 0.008 * breath, head_tilt=14,
        near_x=1.1, near_y=0.72,
        far_x=1.2, far_y=0.7, near_foot_x=0.5, near_foot_y=0.1, far_foot_x=0.9, far_foot_y=0.1, lids=1.0, smile=0.3,
        mouth=0.12 + 0.1 * breath,
        ears=0.7, tail=-0.7, snore=1.0, sweat=0.0, brow=-0.1, brow_y=0.0, wide=1.0,
    )  # fmt: skip


def _wave(pose: Pose, clock: Clock) -> Pose:
    swing = clock.wave(1.9)
    smile = max(pose.smile, 0.6) if clock.mood not in ("sad", "angry") else pose.smile
    return pose._replace(
        far_x=0.62 + 0.35 * swing,
        far_y=-0.85,
        head_tilt=4 * swing,
        smile=smile,
        mouth=max(pose.mouth, 0.35),
        turn=0.25,
        tail=swing,
    )


def _look(pose: Pose, clock: Clock) -> Pose:
    """A hand over the eyes, the head to and fro."""
    side = math.tanh(3 * clock.wave(0.42))
    return pose._replace(
        far_x=0.78, far_y=-0.42, far_on_face=1, gaze_x=0.9 * side, head_x=0.03 * side,
        turn=SIDE * (0.35 + 0.65 * side), lean=3 * side,
        wide=max(pose.wide, 1.05), brow_y=max(pose.brow_y, 0.2),
    )  # fmt: skip


def _cry(pose: Pose, clock: Clock) -> Pose:
    sob = abs(clock.wave(1.7))
    return pose._replace(
        near_x=-0.5, near_y=0.15, near_on_face=1, far_x=0.5, far_y=0.15, far_on_face=1, lids=1.0, smile=-1.0,
        mouth=0.55 + 0.3 * sob,
        brow=-1.0, brow_y=0.25, ears=1.0, tears=1.0, head_y=0.02 - 0.012 * sob, stretch=1 - 0.04 * sob, turn=0.15,
        head_tilt=3 * clock.wave(0.85),
        tail=-0.3, sweat=0.0, wide=1.0,
    )  # fmt: skip


def _dance(pose: Pose, clock: Clock) -> Pose:
    beat = clock.wave(0.95)
    hop = abs(clock.wave(0.95))
    return pose._replace(
        turn=SIDE * 0.7 * beat, lift=0.07 * hop, stretch=0.96 + 0.08 * hop, lean=9 * beat, near_x=-0.4,
        near_y=0.1 - 0.85 * beat, far_x=0.5,
        far_y=0.1 + 0.85 * beat, near_foot_y=max(0.0, 0.7 * beat), far_foot_y=max(0.0, -0.7 * beat),
        near_foot_x=0.4 * beat, smile=1.0,
        mouth=0.6, head_tilt=-11 * beat, tail=beat, brow=0.0, brow_y=0.3, notes=1.0, ears=-0.2 * hop,
    )  # fmt: skip


def _hide(pose: Pose, clock: Clock) -> Pose:
    """Crouched with the hands over the eyes; staging puts it behind something."""
    down = 1.0 if not clock.speed else smooth((clock.share - 0.8) / 0.15)
    return pose._replace(
        drop=0.95 * down, stretch=1 - 0.22 * down, head_y=0.05 * down, ears=max(pose.ears, down),
        near_x=-0.35 * down, near_y=0.1 + 0.6 * (1 - down),
        near_on_face=down, far_x=0.4, far_y=0.1 + 0.6 * (1 - down), far_on_face=down,
    )  # fmt: skip


def _peek(pose: Pose, clock: Clock) -> Pose:
    side = math.tanh(3 * clock.wave(0.4))
    return pose._replace(
        gaze_x=0.9 * side,
        turn=SIDE * side * 0.6,
        near_x=-0.75,
        near_y=-0.05,
        far_x=0.75,
        far_y=-0.05,
        wide=1.12,
        ears=-0.1,
        brow_y=0.4,
    )


def _ring(pose: Pose, clock: Clock) -> Pose:
    """Reaches up and presses, again and again; staging moves the hand to the bell."""
    press = ring_press(clock.seconds)
    return pose._replace(
        far_x=0.6, far_y=-0.85, stretch=1.02 + 0.05 * press, lift=0.01, head_y=-0.01, head_tilt=-10, gaze_y=-0.7,
        gaze_x=0.5,
        chime=press, near_x=-0.3, near_y=0.8,
    )  # fmt: skip


def ring_press(seconds: float) -> float:
    """How far the bell is pressed, 0 to 1."""
    share = (seconds % 0.8) / 0.8
    return smooth((share - 0.25) / 0.12) * smooth((0.8 - share) / 0.2)


def _bend(pose: Pose, down: float) -> Pose:
    return pose._replace(
        drop=0.8 * down, lean=26 * down, head_y=pose.head_y + 0.05 * down, head_x=pose.head_x + 0.04 * down,
        near_x=0.6, near_y=0.9 + 0.2 * down,
        far_x=0.7, far_y=0.9 + 0.2 * down, gaze_y=0.8 * down, head_tilt=8 * down,
    )  # fmt: skip


def _pick_up(pose: Pose, clock: Clock) -> Pose:
    return _bend(pose, smooth(clock.share / 0.35) * smooth((1 - clock.share) / 0.4))


def _put_down(pose: Pose, clock: Clock) -> Pose:
    return _bend(pose, smooth(clock.share / 0.4) * smooth((1 - clock.share) / 0.35))


def _give(pose: Pose, clock: Clock) -> Pose:
    out = smooth(clock.share / 0.3) * smooth((1 - clock.share) / 0.25)
    return pose._replace(
        near_x=0.4 + 0.75 * out, near_y=0.6 - 0.35 * out, far_x=0.4 + 0.7 * out, far_y=0.6 - 0.35 * out, lean=8 * out
    )


CRASH_SHARE = 0.45
"""The share of a crash that runs; the rest is the wall's."""


def _crash(pose: Pose, clock: Clock) -> Pose:
    hit_at = CRASH_SHARE * clock.length if clock.speed else 0.0
    since = clock.seconds - hit_at
    if since < 0:
        return _run(pose, clock)._replace(dust=1.0, wide=1.2, brow_y=0.6)
    flat = math.exp(-3.2 * max(0.0, since - 0.35)) if since > 0.02 else 0.5
    down = smooth((since - 0.35) / 0.35)
    ringing = clock.wave(1.1) * down
    return pose._replace(
        stretch=1 + 0.34 * flat * (1 - down) - 0.06 * down, drop=0.95 * down, lean=-5 * down,
        near_x=0.7 - 0.3 * down, near_y=-0.9 + 1.6 * down,
        far_x=0.6, far_y=-0.9 + 1.6 * down, near_foot_x=1.0 * down, far_foot_x=1.3 * down, near_foot_y=0.1,
        far_foot_y=0.1, head_tilt=9 * ringing,
        head_x=0.02 * ringing, smile=-0.4, mouth=0.5 - 0.2 * down, dizzy=1.0, stars=1.0, ears=0.7, brow=-0.6,
        brow_y=0.4, wide=1.1, sweat=0.0,
        lift=0.1 * flat * (1 - down), dust=math.exp(-4 * since),
    )  # fmt: skip


_ACTIONS: dict[Action, Callable[[Pose, Clock], Pose]] = {
    "stand": _stand, "walk": _walk, "run": _run, "jump": _jump, "sit": _sit, "eat": _eat, "laugh": _laugh,
    "fall": _fall,
    "sleep": _sleep, "wave": _wave, "look": _look, "cry": _cry, "dance": _dance, "hide": _hide, "peek": _peek,
    "ring": _ring,
    "pick_up": _pick_up, "put_down": _put_down, "give": _give, "crash": _crash,
}  # fmt: skip
