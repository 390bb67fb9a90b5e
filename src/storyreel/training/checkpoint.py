"""Where a run begins, and where it stands.

On disk: optimiser state as safetensors, position as JSON, both replaced whole.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from storyreel.assets import DEMO_MODEL, DEMO_PROBE
from storyreel.errors import WeightsError
from storyreel.training.optimiser import MasterOptimiser

STATE_FILE = "state.safetensors"
POSITION_FILE = "position.json"
BUNDLED = {"bundled": DEMO_MODEL, "bundled-probe": DEMO_PROBE}


def earlier_folder(root: Path, name: str) -> Path:
    """What an earlier run left in ROOT/NAME; "bundled", or a folder in it, and "bundled-probe" are what we ship."""
    first, _, rest = name.partition("/")
    return BUNDLED[first] / rest if first in BUNDLED else root / name


def save_checkpoint(folder: Path, optimiser: MasterOptimiser, fingerprint: str) -> None:
    """Writes the optimiser's state after its last step. A kill at any moment leaves the old or the new checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"state_{optimiser.steps:07d}.safetensors"
    state = {key: tensor.contiguous() for key, tensor in optimiser.state_dict().items()}
    save_file(state, folder / name)
    beside = folder / (POSITION_FILE + ".part")
    beside.write_text(json.dumps({"steps": optimiser.steps, "state": name, "fingerprint": fingerprint}))
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(beside, folder / POSITION_FILE)
    for old in folder.glob("state_*.safetensors"):
        if old.name != name:
            old.unlink()


def load_checkpoint(folder: Path, optimiser: MasterOptimiser, fingerprint: str) -> bool:
    """Restores a run in place; False where there is no checkpoint.

    WeightsError where the checkpoint is another configuration's, or damaged.
    """
    position_path = folder / POSITION_FILE
    if not position_path.exists():
        return False
    position = json.loads(position_path.read_text())
    if position["fingerprint"] != fingerprint:
        raise WeightsError(
            f"{folder} holds a run with another configuration. "
            f"Give another --out, or delete {position_path} to begin anew."
        )
    state_path = folder / position["state"]
    try:
        state = load_file(state_path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{state_path} cannot be read ({error}). Delete {position_path} to begin anew.") from error
    optimiser.load_state_dict(state, position["steps"])
    return True
