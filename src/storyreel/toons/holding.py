"""How props are held, and where they are while they are."""

from __future__ import annotations

from storyreel.toons.builds import BUILD
from storyreel.toons.catalogue import FEET_Y, PROP_SIZE
from storyreel.toons.players import Actor, Item
from storyreel.toons.props import BOTH_HANDS, GRIP
from storyreel.toons.script import Beat, Character, Prop, PropBeat
from storyreel.toons.stance import Pose

NEAR_HANDED = ("wave", "look", "ring")
"""What is done with the far hand, so that the near one holds what is held."""


def hold(pose: Pose, prop: Prop, beat: Beat, character: Character) -> Pose:
    """The pose with hands that hold a prop, where the action leaves them free."""
    if beat.action in ("eat", "give", "pick_up", "put_down", "sleep", "crash"):
        return pose._replace(far_in_front=1.0)
    turn = abs(pose.turn)
    if prop.kind in BOTH_HANDS or _too_big(prop, character):
        if character.species == "mouse" and beat.action in ("stand", "walk", "run", "jump", "dance", "laugh", "look"):
            return pose._replace(near_x=-0.9, near_y=-1.34, near_on_face=1.0, far_x=0.55, far_y=-1.34, far_on_face=1.0)
        if beat.action in ("wave", "ring"):
            return pose
        chin = 1.0 + 0.66 * (PROP_SIZE[prop.kind][1] + GRIP[prop.kind][1]) / BUILD[character.species].head[1]
        return pose._replace(
            near_x=-0.52 + 0.78 * turn,
            near_y=chin,
            near_on_face=1.0,
            far_x=0.52 + 0.5 * turn,
            far_y=chin - 0.04,
            far_on_face=1.0,
        )
    if beat.action in NEAR_HANDED:
        return pose._replace(near_x=0.9, near_y=0.5, near_on_face=0.0)
    if prop.kind in ("umbrella", "balloon"):
        return pose._replace(far_x=1.0 + 0.15 * turn, far_y=0.72, far_on_face=1.0)
    return pose._replace(far_x=1.0, far_y=0.35, far_on_face=0.0, far_in_front=1.0)


def _too_big(prop: Prop, character: Character) -> bool:
    """A mouse carries on its head what others hold in one hand."""
    return character.species == "mouse" and prop.kind in ("cheese", "fish", "apple")


def anchored(prop: Prop, beat: PropBeat, actors: dict[str, Actor]) -> Item | None:
    """Where a prop beat puts a prop; None when its holder is off stage."""
    if beat.holder is None:
        return Item(prop, beat.x, beat.y, 0.95 if beat.y > FEET_Y - 0.06 else 0.87, beat.bites)
    actor = actors.get(beat.holder)
    if actor is None:
        return None
    figure = actor.figure
    near, far = figure.on_stage(figure.hand(True)), figure.on_stage(figure.hand(False))
    action = actor.beat.action
    in_both = prop.kind in BOTH_HANDS or _too_big(prop, actor.character)
    if action == "eat" or (in_both and action not in ("wave", "ring")):
        x, y = (near[0] + far[0]) / 2, (near[1] + far[1]) / 2
    else:
        x, y = near if action in NEAR_HANDED else far
    grip_x, grip_y = GRIP[prop.kind]
    if action == "eat":
        grip_y = -PROP_SIZE[prop.kind][1] * 0.25
    return Item(prop, x - grip_x * figure.mirror, y - grip_y, actor.depth, beat.bites, beat.holder, figure.mirror)
