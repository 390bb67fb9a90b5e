import json
import os
import sys
from pathlib import Path

import pytest
import torch

from storyreel.errors import OutputError
from storyreel.sampling.record import command_line, peak_memory_mib, versions, write_record


def test_the_command_line_can_be_pasted_into_a_shell():
    line = command_line(
        Path("my story.json"), {"out": Path("v.mp4"), "model": None, "guidance": 4.0, "seed": 0, "x": True}
    )
    assert line == "storyreel generate 'my story.json' --out v.mp4 --guidance 4 --seed 0 --x"


def test_versions_name_what_a_video_depends_on():
    found = versions()
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert {"storyreel", "python", "diffusers", "transformers", "av"} <= set(found)


@pytest.mark.skipif(sys.platform != "linux", reason="the other witness is Linux's")
def test_peak_memory_is_what_the_kernel_says():
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    assert peak_memory_mib(torch.device("cpu"))["memory"] == pytest.approx(peak, rel=0.02)


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    write_record(tmp_path / "r.json", {"title": "Käse", "seed": 1})
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == {"title": "Käse", "seed": 1}
    assert os.listdir(tmp_path) == ["r.json"]
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        write_record(tmp_path / "nowhere" / "r.json", {})
