"""Locks: one holder at a time, named while it lives and forgotten when it is killed."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from textvae import locks
from textvae.errors import BusyError

SPAWN = multiprocessing.get_context("spawn")


def hold_for_ever(path: Path, held: Any) -> None:
    """Takes a lock and never lets go."""
    with locks.hold_lock(path, "a long training"):
        held.set()
        time.sleep(600)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[BaseProcess]:
    """A process that holds the lock registry/.lock."""
    held = SPAWN.Event()
    process = SPAWN.Process(target=hold_for_ever, args=(tmp_path / "registry" / ".lock", held))
    process.start()
    assert held.wait(timeout=10)
    yield process
    process.kill()
    process.join()


def test_a_held_lock_refuses_and_names_its_holder(tmp_path: Path, holder: BaseProcess) -> None:
    with (
        pytest.raises(BusyError, match=rf"a long training \(pid {holder.pid} on ") as refusal,
        locks.hold_lock(tmp_path / "registry" / ".lock", "another"),
    ):
        pytest.fail("two hold one lock")
    assert refusal.value.exit_code == 75


def test_a_lock_is_free_as_soon_as_its_holder_is_killed(
    tmp_path: Path, holder: BaseProcess
) -> None:
    holder.kill()
    holder.join()
    for purpose in ("the next", "and the next"):
        with locks.hold_lock(tmp_path / "registry" / ".lock", purpose):
            pass


def test_a_lock_is_free_after_a_block_that_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold_lock(tmp_path / ".lock", "a failure"):
        raise ZeroDivisionError
    with locks.hold_lock(tmp_path / ".lock", "the next"):
        pass


def test_a_lock_keeps_threads_of_one_process_apart(tmp_path: Path) -> None:
    refused: list[BusyError] = []

    def enter() -> None:
        try:
            with locks.hold_lock(tmp_path / ".lock", "a thread"):
                pytest.fail("two hold one lock")
        except BusyError as error:
            refused.append(error)

    with locks.hold_lock(tmp_path / ".lock", "the main thread"):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert "the main thread" in str(refused[0])
