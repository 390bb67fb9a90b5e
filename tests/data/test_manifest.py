"""Records, counts, fingerprints, and files that are whole or not there."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from storyreel.data.files import locked, sweep, whole, write_whole
from storyreel.data.fingerprint import hash_of, made_from
from storyreel.data.manifest import (
    Account,
    Dropped,
    Row,
    check_counts,
    read_dropped,
    read_manifest,
    read_rows,
    record_path,
    span_id,
)
from storyreel.data.step import Job, Outcome, Step, run_step
from storyreel.errors import DataError


@dataclass(frozen=True)
class UpperConfig:
    suffix: str = "!"


class WordRow(Row):
    word: str


def shout(payload: str, config: UpperConfig, output: Path) -> Outcome:
    """A step for the tests: writes words in capitals; drops those with a digit. Counts its calls in a file."""
    with (output / "calls.log").open("a") as log:
        log.write(payload + "\n")
    if any(sign.isdigit() for sign in payload):
        dropped = Dropped(id=payload, unit="word", reason="digit", detail=f"{payload} has a digit")
        return Outcome(dropped=[dropped], accounts=[Account(unit="word", seen=1, kept=0, dropped=1)])
    path = f"words/{payload}.txt"
    write_whole(output / path, payload.upper() + config.suffix)
    return Outcome(
        rows=[WordRow(id=payload, word=payload.upper()).model_dump()],
        accounts=[Account(unit="word", seen=1, kept=1, dropped=0)],
        artefacts=[path],
    )


STEP = Step("shout", 1, "word", ("words",), ("numpy",), shout)


def run(words, out, config=UpperConfig(), step=STEP):
    jobs = [Job(word, {"word": hash_of(word)}, word) for word in words]
    return run_step(step, jobs, out, config, source="..", workers=1)


def calls(out):
    """Words made since the last look."""
    log = out / "calls.log"
    words = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return words


def test_rows_drops_and_counts(tmp_path):
    manifest = run(["b", "a", "c3"], tmp_path)
    assert [row.id for row in read_rows(tmp_path, WordRow)] == ["a", "b"]
    assert [one.id for one in read_dropped(tmp_path)] == ["c3"]
    assert manifest.account("word") == Account(unit="word", seen=3, kept=2, dropped=1)
    assert read_manifest(tmp_path, "shout") == manifest


def test_again_does_nothing_and_gives_the_same(tmp_path):
    first = run(["a", "b"], tmp_path)
    assert calls(tmp_path) == ["a", "b"]
    assert run(["a", "b"], tmp_path) == first
    assert calls(tmp_path) == []


def test_exactly_what_changed_is_made_again(tmp_path):
    run(["a", "b"], tmp_path)
    calls(tmp_path)
    run(["a", "b", "new"], tmp_path)
    assert calls(tmp_path) == ["new"]
    (tmp_path / "words/b.txt").unlink()
    run(["a", "b", "new"], tmp_path)
    assert calls(tmp_path) == ["b"]
    record_path(tmp_path, "a").write_text("{half")
    run(["a", "b", "new"], tmp_path)
    assert calls(tmp_path) == ["a"]
    run(["a", "b", "new"], tmp_path, UpperConfig("?"))
    assert calls(tmp_path) == ["a", "b", "new"]
    run(["a", "b", "new"], tmp_path, UpperConfig("?"), Step("shout", 2, "word", ("words",), ("numpy",), shout))
    assert calls(tmp_path) == ["a", "b", "new"]


def test_what_left_the_input_leaves_the_output(tmp_path):
    run(["a", "b"], tmp_path)
    (tmp_path / "words/.a.txt.123.part").write_text("left by a killed run")
    manifest = run(["a"], tmp_path)
    assert manifest.items == 1
    assert sorted(path.name for path in (tmp_path / "words").iterdir()) == ["a.txt"]
    assert not record_path(tmp_path, "b").exists()


def test_the_content_changes_with_what_came_out_alone(tmp_path):
    first = run(["a"], tmp_path / "1")
    same = run(["a"], tmp_path / "2", step=Step("shout", 2, "word", ("words",), ("numpy",), shout))
    other = run(["a"], tmp_path / "3", UpperConfig("?"))
    assert first.content == same.content != other.content


def test_an_unfinished_or_changed_step_is_refused(tmp_path):
    with pytest.raises(DataError, match="Run storyreel data shout to its end"):
        read_manifest(tmp_path, "shout")
    run(["a"], tmp_path)
    with pytest.raises(DataError, match="holds the step shout, but probe is needed"):
        read_manifest(tmp_path, "probe")
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(DataError, match="is not what"):
        read_manifest(tmp_path, "shout")


@pytest.mark.parametrize(
    ("rows", "drops", "account"),
    [
        (1, 1, Account(unit="word", seen=3, kept=1, dropped=1)),
        (1, 0, Account(unit="word", seen=2, kept=1, dropped=1)),
        (2, 1, Account(unit="word", seen=2, kept=1, dropped=1)),
        (0, 1, Account(unit="film", seen=0, kept=0, dropped=0)),
    ],
)
def test_counts_that_do_not_add_up(rows, drops, account):
    listed = [Dropped(id=str(i), unit="word", reason="r", detail="d") for i in range(drops)]
    with pytest.raises(DataError):
        check_counts("word", rows, listed, [account])


def test_two_rows_of_one_id(tmp_path):
    def same(payload, config, output):
        return Outcome(rows=[{"id": "x"}], accounts=[Account(unit="word", seen=1, kept=1, dropped=0)])

    with pytest.raises(DataError, match="same id"):
        run(["a", "b"], tmp_path, step=Step("shout", 1, "word", (), ("numpy",), same))


def test_a_file_is_whole_or_not_there(tmp_path):
    write_whole(tmp_path / "deep/a.txt", "old")

    def fail():
        with whole(tmp_path / "deep/a.txt") as part:
            part.write_text("ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.read_text() for path in (tmp_path / "deep").iterdir()] == ["old"]


def test_a_sweep_keeps_what_it_is_told_and_what_is_elsewhere(tmp_path):
    for name in ("a/keep.txt", "a/old/gone.txt", "b/other.txt"):
        write_whole(tmp_path / name, "")
    sweep(tmp_path, ["a"], {"a/keep.txt"})
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "a", "a/keep.txt", "b", "b/other.txt"
    ]  # fmt: skip


def test_two_runs_do_not_share_a_folder(tmp_path):
    with locked(tmp_path), pytest.raises(DataError, match="another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_each_ingredient_changes_the_fingerprint():
    base = {"step": "s", "step_version": 1, "inputs": {"a": "1"}, "parameters": {"p": 1}, "versions": {"v": "1"}}
    changes = [
        {"step": "t"}, {"step_version": 2}, {"inputs": {"a": "2"}}, {"parameters": {"p": 2}}, {"versions": {"v": "2"}},
        {"models": {"m": "1"}},
    ]  # fmt: skip
    prints = {hash_of(made_from(**{**base, **change})) for change in [{}, *changes]}
    assert len(prints) == len(changes) + 1


def test_ids_sort_by_time():
    spans = [span_id("f", Fraction(seconds), Fraction(seconds + 3)) for seconds in (0, 3, 10, 100, 3600)]
    assert spans == sorted(spans)
