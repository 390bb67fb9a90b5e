"""What storyreel ships beside its code."""

from pathlib import Path

DEMO_MODEL = Path(__file__).parent / "demo"
"""Folder of the demo model."""

DEMO_PROBE = Path(__file__).parent / "probe"
"""Folder of the probe that reads places and characters in the demo model's videos."""

ACTION_READER = Path(__file__).parent / "actions"
"""Folder of the network that reads what characters do in toons."""
