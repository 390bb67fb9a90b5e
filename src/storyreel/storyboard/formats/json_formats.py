"""JSON formats: the paper's authors', StoryMem, LongLive, HoloCine and ViStoryBench. Facts only; none of it runs.

What each means by a shot, and what is lost between them and a storyboard, is said at each.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from storyreel.errors import StoryboardError
from storyreel.geometry import FRAMES_PER_SECOND, SEGMENT_SECONDS
from storyreel.storyboard.checks import described, settings
from storyreel.storyboard.formats.shots import Script, Shot, field, not_told, only_texts
from storyreel.storyboard.saving import as_json, to_text
from storyreel.storyboard.schema import Storyboard

STORYMEM_SECONDS = 5
LONGLIVE_CUT = "The scene transitions. "
FRAMES_PER_SEGMENT = SEGMENT_SECONDS * FRAMES_PER_SECOND

Text = tuple[str, tuple[str, ...]]


def write_storyreel(board: Storyboard) -> Text:
    """Our own JSON; nothing is lost."""
    return to_text(as_json(board)), ()


def write_reference(board: Storyboard) -> Text:
    """The list of stories that the paper's authors' sampler reads."""
    return to_text([_reference_story(board)]), tuple(not_told(board, title=True, negative=False))


def write_reference_lines(board: Storyboard) -> Text:
    """The same, a story a line."""
    line = json.dumps(_reference_story(board), ensure_ascii=False) + "\n"
    return line, tuple(not_told(board, title=True, negative=False))


def _reference_story(board: Storyboard) -> list[dict[str, Any]]:
    # Their sampler wants false in front: it sets no mark before the first segment.
    return [
        {"text": own.text, "requires_scene_transition": own.scene_start and i > 0, "neg_text": own.negative_text}
        for i, own in enumerate(board.segments)
    ]


def write_storymem(board: Storyboard) -> Text:
    """StoryMem: scenes of shots of 5 s; `cut` false goes on from the last frame of the shot before."""
    scenes: list[dict[str, Any]] = []
    for i, own in enumerate(board.segments):
        if board.starts_scene(i):
            scene = {"scene_num": len(scenes) + 1, "video_prompts": [], "first_frame_prompt": [], "cut": []}
            scenes.append(scene)
        scenes[-1]["video_prompts"].append(own.text)
        scenes[-1]["first_frame_prompt"].append(own.text)
        scenes[-1]["cut"].append(board.starts_scene(i))
    story = {"story_name": board.title, "story_overview": "", "scenes": scenes}
    return to_text(story), (*not_told(board), "segments of 3 s (its shots have 5)")


def is_storymem(data: Any) -> bool:
    """An object with scenes."""
    return isinstance(data, dict) and "scenes" in data


def read_storymem(data: Any, story: int) -> Script:
    """StoryMem: the video prompts; a cut inside a scene is lost, as are overview and first frames."""
    shots, lost = [], []
    for number, scene in enumerate(field(data, "scenes", list, "the file"), start=1):
        prompts = only_texts(field(scene, "video_prompts", list, f"scene {number}"), f"scene {number}, video_prompts")
        shots += [Shot(text, starts_scene=i == 0, seconds=STORYMEM_SECONDS) for i, text in enumerate(prompts)]
        if any(scene.get("cut", [])[1:]):
            lost.append("cuts inside scenes")
        if any(first not in prompts for first in scene.get("first_frame_prompt", [])):
            lost.append("first frame prompts")
    if data.get("story_overview"):
        lost.append("the overview")
    return Script(str(data.get("story_name", "")), tuple(shots), tuple(dict.fromkeys(lost)))


def write_longlive(board: Storyboard) -> Text:
    """LongLive: a line of block prompts; a cut is told by a sentence in front."""
    prompts = [LONGLIVE_CUT + own.text if i and own.scene_start else own.text for i, own in enumerate(board.segments)]
    return json.dumps({"prompts": prompts}, ensure_ascii=False) + "\n", tuple(not_told(board, title=True))


def is_longlive(data: Any) -> bool:
    """An object with prompts, or several."""
    items = data if isinstance(data, list) else [data]
    return bool(items) and all(isinstance(item, dict) and "prompts" in item for item in items)


def read_longlive(data: Any, story: int) -> Script:
    """LongLive: one prompt a segment."""
    items = data if isinstance(data, list) else [data]
    if not 0 <= story < len(items):
        raise StoryboardError(f"the file has stories 0 to {len(items) - 1}, but number {story} is asked for.")
    prompts = only_texts(field(items[story], "prompts", list, "the story"), "prompts")
    shots = [Shot(text.removeprefix(LONGLIVE_CUT), text.startswith(LONGLIVE_CUT)) for text in prompts]
    return Script("", tuple(shots))


def write_holocine(board: Storyboard) -> Text:
    """HoloCine: a shot a segment, and the frames (4 t + 1) where shots begin; every shot is a cut."""
    story = {
        "global_caption": "",
        "shot_captions": [own.text for own in board.segments],
        "shot_cut_frames": [FRAMES_PER_SEGMENT * i + 1 for i in range(1, len(board.segments))],
    }
    return to_text(story), tuple(not_told(board, title=True, scenes=True))


def is_holocine(data: Any) -> bool:
    """An object with shot captions."""
    return isinstance(data, dict) and "shot_captions" in data


def read_holocine(data: Any, story: int) -> Script:
    """HoloCine: each shot with the global caption in front, as long as the cuts tell (at our frames a second)."""
    captions = only_texts(field(data, "shot_captions", list, "the file"), "shot_captions")
    whole = str(data.get("global_caption") or "").strip()
    cuts = data.get("shot_cut_frames") or []
    if not all(isinstance(cut, int) for cut in cuts) or list(cuts) != sorted(cuts):
        raise StoryboardError('"shot_cut_frames" must be whole numbers in order. Mend them.')
    edges = [0, *cuts]
    lengths = [(b - a) / FRAMES_PER_SECOND for a, b in itertools.pairwise(edges)]
    lengths = lengths[: len(captions)] + [float(SEGMENT_SECONDS)] * (len(captions) - len(lengths))
    shots = [
        Shot(f"{whole} {text}".strip(), starts_scene=True, seconds=seconds)
        for text, seconds in zip(captions, lengths, strict=True)
    ]
    return Script("", tuple(shots))


def write_vistorybench(board: Storyboard) -> Text:
    """ViStoryBench: setting, what is seen and perspective apart: a paragraph's first, middle and camera sentences."""
    shots, characters = [], {}
    for number, own in enumerate(board.segments, start=1):
        sentences = [part if part.endswith(".") else part + "." for part in own.text.rstrip(".").split(". ")]
        setting = sentences.pop(0) if len(sentences) > 1 and settings(sentences[0]) else ""
        is_camera = len(sentences) > 1 and any(word in sentences[-1].lower() for word in ("camera", "view"))
        camera = sentences.pop() if is_camera else ""
        names = list(dict.fromkeys(name for name, _, _ in described(own.text)))
        for name in names:
            looks = {what: value for who, what, value in described(own.text) if who == name}
            entry = characters.setdefault(name, {"name_en": name, "prompt_en": "", "tag": "", "num_of_appearances": 0})
            entry["prompt_en"] = f"{looks.get('colour', '')} {looks['species']}".strip()
            entry["num_of_appearances"] += 1
        parts = {
            "Setting Description": setting, "Plot Correspondence": "", "Static Shot Description": " ".join(sentences),
            "Shot Perspective Design": camera,
        }  # fmt: skip
        shot: dict[str, Any] = {"index": number, **{key: {"en": value, "ch": ""} for key, value in parts.items()}}
        shots.append({**shot, "Characters Appearing": {"en": names, "ch": []}})
    lost = not_told(board, title=True)
    return to_text({"Shots": shots, "Characters": characters}), (*lost, "scene starts where the place stays")


def is_vistorybench(data: Any) -> bool:
    """An object with shots."""
    return isinstance(data, dict) and "Shots" in data


def read_vistorybench(data: Any, story: int) -> Script:
    """ViStoryBench: the English texts of a shot in one paragraph; a scene starts where the setting's place changes."""
    shots: list[Shot] = []
    last: object = None
    for number, item in enumerate(field(data, "Shots", list, "the file"), start=1):
        here = f"shot {number}"
        keys = ("Setting Description", "Static Shot Description", "Plot Correspondence", "Shot Perspective Design")
        texts = [str(field(item, key, dict, here).get("en") or "").strip() for key in keys if key in item]
        text = " ".join(part for part in texts if part)
        if not text:
            raise StoryboardError(f"{here} has no English text. Write one.")
        setting = settings(text) or texts[0]
        shots.append(Shot(text, starts_scene=setting != last))
        last = setting
    lost = ("the characters' own descriptions",) if data.get("Characters") else ()
    return Script("", tuple(shots), lost)
