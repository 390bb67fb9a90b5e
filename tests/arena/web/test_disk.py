"""Attack 17: a disk that can no longer be written, while the server runs and when it starts."""

import os
import re
import shutil
import sqlite3
import subprocess

import pytest
from sqlalchemy import event

from storyreel.arena.store.exchange import Archive
from storyreel.arena.web.hosting import check_writable
from storyreel.cli.main import main
from storyreel.errors import DataError


def sent_again(page):
    return dict(re.findall(r'name="([^"]*)" value="([^"]*)"', page))


def test_17_a_database_that_cannot_be_written(site):
    """As if remounted under a running server: no row is lost or doubled, and what was refused is taken later."""
    rater = site.rater()
    rater.judge()
    rater.watch()
    locked = [True]

    def lock(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA query_only={'ON' if locked[0] else 'OFF'}").close()

    event.listen(site.store._database.engine, "checkout", lock)
    refused = rater.vote()
    play, stall = rater.play(), rater.client.post("/stall", json={"form": rater.field("form"), "pair": rater.pair})
    newcomer = site.visitor()
    newcomer.arrive()
    consent = newcomer.post("/consent", form=newcomer.field("form"), agree="yes", plays="yes")
    assert [one.status_code for one in (refused, play, stall, consent)] == [503] * 4
    assert int(refused.headers["retry-after"]) > 0
    assert "could not be stored" in refused.text
    assert not re.search(r"readonly|sqlite", refused.text + play.text + stall.text + consent.text)
    assert len(site.store.votes()) == 1
    locked[0] = False
    for _ in range(2):
        assert rater.post("/vote", **sent_again(refused.text)).status_code == 303
    assert len(site.store.votes()) == 2
    archive = Archive(site.folder / "arena.sqlite")
    assert archive.verify().bad == ""
    archive.close()


@pytest.fixture
def disk(tmp_path):
    """(a disk of its own, a function that makes it read-only or writable again)."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], timeout=60).returncode:
        pytest.skip("no disk can be mounted here")
    yield place, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", place], check=True, timeout=60)
    subprocess.run(["umount", "-l", place], check=True, timeout=60)


def test_17_a_disk_that_became_read_only(disk, make_site):
    place, remount = disk
    site = make_site(folder=place)
    rater = site.rater()
    rater.judge()
    rater.watch()
    site.store._database.engine.dispose()
    remount("ro")
    refused = rater.vote()
    assert refused.status_code == 503
    assert "could not be stored" in refused.text
    remount("rw")
    assert rater.post("/vote", **sent_again(refused.text)).status_code == 303
    assert len(site.store.votes()) == 2
    site.store.close()


def test_17_a_start_on_a_read_only_disk_is_one_line(disk, drawn, tmp_path, capsys):
    place, remount = disk
    for method in ("one", "two"):
        drawn(tmp_path / "videos" / method / "story.mp4", 1)
    remount("ro")
    for work in (place, place / "study"):
        assert main(["arena", "serve", "--videos", str(tmp_path / "videos"), "--work", str(work), "--port", "0"]) == 1
        error = capsys.readouterr().err
        assert error == (
            f"storyreel: {work} cannot be written (read-only file system), and a study keeps clips and votes there. "
            "Make it writable, or give another folder as --work.\n"
        )
    remount("rw")


def test_a_file_in_place_of_the_folder_is_said(tmp_path):
    (tmp_path / "work").write_text("x")
    with pytest.raises(DataError, match=r"work cannot be written \(file exists\)"):
        check_writable(tmp_path / "work")
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
