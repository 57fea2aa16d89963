"""Whole or not at all: files and folders under kills, races, full disks and readers."""

import json
import multiprocessing
import os
import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from textvae import files

SPAWN = multiprocessing.get_context("spawn")
PARTS = ("first.bin", "inner/second.bin", "third.bin")


@contextmanager
def running(target: Callable[..., None], *arguments: Any) -> Iterator[BaseProcess]:
    """A process of its own, killed and gone when the block ends."""
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def wait_for(path: Path) -> None:
    """Returns when `path` is there; fails after ten seconds."""
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.001)


def visible(folder: Path) -> list[str]:
    """The names that a reader of a folder sees."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def rewrite_for_ever(path: Path) -> None:
    """Writes one large document after the other to the same path."""
    number = 0
    while True:
        number += 1
        files.write_json(path, {"number": number, "filler": [number] * 20_000})


def publish_for_ever(parent: Path) -> None:
    """Makes folder after folder, each of three large files."""
    number = 0
    while True:
        number += 1
        with files.new_folder(parent / f"{number:06d}", read_only=True) as folder:
            (folder / "inner").mkdir()
            for name in PARTS:
                files.write_bytes(folder / name, bytes([number % 256]) * 200_000)


def remove_on_signal(folder: Path, begun: Any) -> None:
    """Removes a folder, saying when it begins."""
    begun.set()
    files.remove_folder(folder)


def claim_numbers(folder: Path, claimer: int, count: int) -> None:
    """Tries to make each of `count` files and notes those that it made."""
    won = [n for n in range(count) if files.create_by_link(folder / f"{n}.json", b"%d\n" % claimer)]
    files.write_json(folder / f"won-{claimer}", won)


def write_beyond_limit(path: Path, outcome: Path) -> None:
    """Tries to write a megabyte where the system allows a hundred kilobytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        files.write_bytes(path, b"x" * 1_000_000)
    except OSError as error:
        files.write_text(outcome, type(error).__name__)


def test_a_writer_killed_at_any_time_leaves_a_whole_document(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    delays = random.Random(0)
    for _ in range(12):
        with running(rewrite_for_ever, path) as writer:
            wait_for(path)
            time.sleep(delays.uniform(0, 0.03))
            writer.kill()
            writer.join()
        document = json.loads(path.read_bytes())
        assert document["filler"] == [document["number"]] * 20_000
        assert visible(tmp_path) == ["document.json"]
        path.unlink()


def test_a_folder_killed_in_the_making_is_never_seen(tmp_path: Path) -> None:
    delays = random.Random(1)
    for trial in range(12):
        parent = tmp_path / str(trial)
        with running(publish_for_ever, parent) as writer:
            wait_for(parent / "000001")
            time.sleep(delays.uniform(0, 0.03))
            writer.kill()
            writer.join()
        for name in visible(parent):
            contents = {(parent / name / part).read_bytes() for part in PARTS}
            assert contents == {bytes([int(name) % 256]) * 200_000}


def test_leftovers_of_a_killed_writer_do_not_stop_the_next(tmp_path: Path) -> None:
    with running(publish_for_ever, tmp_path) as writer:
        wait_for(tmp_path / "000002")
        writer.kill()
        writer.join()
    done = len(visible(tmp_path))
    with files.new_folder(tmp_path / f"{done + 1:06d}") as folder:
        files.write_text(folder / "text", "next")
    assert visible(tmp_path)[-1] == f"{done + 1:06d}"


def test_a_folder_killed_in_the_removing_is_whole_or_gone(tmp_path: Path) -> None:
    delays = random.Random(2)
    for trial in range(4):
        folder = tmp_path / str(trial)
        folder.mkdir()
        for name in range(2000):
            (folder / str(name)).touch()
        begun = SPAWN.Event()
        with running(remove_on_signal, folder, begun) as remover:
            assert begun.wait(timeout=10)
            time.sleep(delays.uniform(0, 0.01))
            remover.kill()
            remover.join()
        assert not folder.exists() or len(os.listdir(folder)) == 2000


def test_a_full_disk_leaves_the_old_bytes_and_no_litter(tmp_path: Path) -> None:
    path, outcome = tmp_path / "document", tmp_path / "outcome"
    files.write_text(path, "old")
    with running(write_beyond_limit, path, outcome) as writer:
        writer.join()
    assert outcome.read_text() == "OSError"
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["document", "outcome"]


def test_a_folder_whose_block_raises_is_gone(tmp_path: Path) -> None:
    def interrupted() -> None:
        with files.new_folder(tmp_path / "new") as folder:
            files.write_text(folder / "text", "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_an_existing_folder_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def come_late() -> None:
        with files.new_folder(target) as folder:
            files.write_text(folder / "text", "late")
            target.mkdir()

    with pytest.raises(FileExistsError):
        come_late()
    with pytest.raises(FileExistsError), files.new_folder(target):
        pytest.fail("the block must not be entered")
    assert os.listdir(target) == []
    assert os.listdir(tmp_path) == ["target"]


def test_a_read_only_folder_keeps_its_files_from_being_written(tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "sealed", read_only=True) as folder:
        files.write_text(folder / "text", "sealed")
    assert (tmp_path / "sealed" / "text").stat().st_mode & 0o777 == 0o444


def test_of_many_claimers_of_a_number_one_wins(tmp_path: Path) -> None:
    claimers, numbers = 4, 100
    processes = [
        SPAWN.Process(target=claim_numbers, args=(tmp_path, claimer, numbers))
        for claimer in range(claimers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    winners = {n: int((tmp_path / f"{n}.json").read_bytes()) for n in range(numbers)}
    for claimer in range(claimers):
        won = json.loads((tmp_path / f"won-{claimer}").read_bytes())
        assert won == [n for n, winner in winners.items() if winner == claimer]


def test_a_reader_of_a_link_never_finds_it_missing(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "a")
    files.write_text(tmp_path / "b", "b")
    files.point_link(tmp_path / "link", "a")
    ended = threading.Event()

    def flip() -> None:
        for number in range(500):
            files.point_link(tmp_path / "link", "ab"[number % 2])
        ended.set()

    flipper = threading.Thread(target=flip)
    flipper.start()
    seen = {(tmp_path / "link").read_text()}
    while not ended.is_set():
        seen.add((tmp_path / "link").read_text())
    flipper.join()
    assert seen == {"a", "b"}
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "link"]


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "metrics.jsonl"
    files.append_line(log, '{"step": 1}')
    log.write_bytes(log.read_bytes() + b'{"step": 2, "lo')
    files.append_line(log, '{"step": 3}')
    assert log.read_text().splitlines() == ['{"step": 1}', '{"step": 2, "lo', '{"step": 3}']


def test_a_log_is_cut_where_the_run_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    files.truncate_lines(log, lambda line: True)
    assert not log.exists()
    for step in range(5):
        files.append_line(log, json.dumps({"step": step, "text": "a\rb\u2028"}))
    log.write_bytes(log.read_bytes() + b'{"step": 5')
    files.truncate_lines(log, lambda line: bool(json.loads(line)["step"] < 3))
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [0, 1, 2]


def test_a_torn_last_line_is_cut_without_being_parsed(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b'{"step": 1}\n{"step": ')
    files.truncate_lines(log, lambda line: bool(json.loads(line)))
    assert log.read_bytes() == b'{"step": 1}\n'


def test_one_value_has_one_spelling() -> None:
    one = files.canonical_json({"b": [1, 2.5], "a": "käse \U0001f642"})
    other = files.canonical_json({"a": "käse \U0001f642", "b": [1, 2.5]})
    assert one == other
    assert one.endswith(b"}\n")
    assert "käse" in one.decode()


@pytest.mark.parametrize("text", ["\ud800", "\x00\x1f", "\u2028", "\U0001f642", '"\\'])
def test_any_string_comes_back_from_canonical_json(text: str) -> None:
    assert json.loads(files.canonical_json({"text": text})) == {"text": text}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.canonical_json([number])


def test_lines_and_copies_arrive_as_they_are(tmp_path: Path) -> None:
    files.write_lines(tmp_path / "lines", (str(number) for number in range(3)))
    files.copy_file(tmp_path / "lines", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == b"0\n1\n2\n"
    assert files.sha256_file(tmp_path / "lines") == files.sha256_file(tmp_path / "deep" / "copy")


def test_lines_whose_source_fails_leave_the_old_file(tmp_path: Path) -> None:
    files.write_text(tmp_path / "lines", "old")
    with pytest.raises(ZeroDivisionError):
        files.write_lines(tmp_path / "lines", (str(1 // number) for number in (1, 0)))
    assert (tmp_path / "lines").read_text() == "old"
    assert os.listdir(tmp_path) == ["lines"]
