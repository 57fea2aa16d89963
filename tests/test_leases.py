"""Leases: a version that is in use is known to be, for as long as its user lives."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.serving import another_version, copied, put_in_service, serving, within
from textvae import files
from textvae.config.prune import PruneConfig
from textvae.errors import NotFoundError
from textvae.store.leases import hold_lease, lease_holders
from textvae.store.promotions import champion, current_promotion, promote
from textvae.store.prune import prune_versions
from textvae.store.versions import Version, list_versions, open_version, publish

BY = {"reason": "a test", "actor": "tester@here", "at": "2026-11-23T02:15:00Z"}


def test_a_lease_is_seen_while_it_is_held_and_leaves_nothing(tmp_path: Path) -> None:
    with hold_lease(tmp_path, "toy", "one", "serve"), hold_lease(tmp_path, "toy", "one", "promote"):
        assert list(lease_holders(tmp_path, "toy")) == ["one"]
    assert os.listdir(tmp_path / "toy" / "leases") == []


def test_a_version_that_was_removed_is_not_promoted(tmp_path: Path) -> None:
    """As by a prune, after it was opened and before it held a lease."""
    version = publish(tmp_path, "toy", "20261123", {"weights": b"1"}, {})
    files.remove_folder(version.folder)
    with pytest.raises(NotFoundError, match="was removed; promote another version"):
        promote(tmp_path, "toy", version, expected=0, **BY)
    assert current_promotion(tmp_path, "toy") is None


def two_old(registry: Path) -> tuple[Version, Version]:
    """Return an unneeded version and the champion."""
    old, now = (publish(registry, "toy", "20200101", {"w": b"%d" % n}, {"n": n}) for n in (1, 2))
    promote(registry, "toy", now, expected=0, **BY)
    for version in (old, now):
        os.utime(version.folder, (0, 0))
    return old, now


def pruned_now(registry: Path) -> list[str]:
    """What a prune leaves that keeps nothing for its age."""
    prune_versions(registry, "toy", PruneConfig(1, grace_days=0), time.time(), BY["at"])
    return list_versions(registry, "toy")


def test_a_version_that_is_being_promoted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete prune runs between the promoter's read of the version and its promotion."""
    old, now = two_old(tmp_path)
    link, seen = files.create_by_link, []

    def late(path: Path, data: bytes) -> bool:
        seen.append(pruned_now(tmp_path))
        return link(path, data)

    monkeypatch.setattr(files, "create_by_link", late)
    promote(tmp_path, "toy", old, expected=1, **BY)
    assert list(map(sorted, seen)) == [sorted([old.name, now.name])]
    assert champion(tmp_path, "toy") == old


def test_a_version_that_is_leased_after_it_was_marked_is_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user came between the two checks of a prune."""
    old, now = two_old(tmp_path)
    move = files.move
    with contextlib.ExitStack() as held:

        def early(path: Path, target: Path) -> None:
            move(path, target)
            held.enter_context(hold_lease(tmp_path, "toy", old.name, "serve"))

        monkeypatch.setattr(files, "move", early)
        assert sorted(pruned_now(tmp_path)) == sorted([old.name, now.name])
    assert open_version(tmp_path, "toy", old.name) == old


def test_a_server_holds_what_it_serves_until_it_is_killed(registry: Path, tmp_path: Path) -> None:
    own = copied(registry, tmp_path)
    first = champion(own, "toy")
    with serving(own, "--poll-s", "0.1") as server:
        assert lease_holders(own, "toy")[first.name].startswith(f"serve (pid {server.process.pid} ")
        second = another_version(own)
        put_in_service(own, second)
        # The one before stays in memory for a rollback, until a third comes.
        within(20, lambda: f"{second.name} serves" in server.log_text())
        assert set(lease_holders(own, "toy")) == {first.name, second.name}
        third = another_version(own, config=b"# a third\n")
        put_in_service(own, third)
        within(20, lambda: f"{third.name} serves" in server.log_text())
        within(20, lambda: set(lease_holders(own, "toy")) == {second.name, third.name})
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        assert lease_holders(own, "toy") == {}
    assert os.listdir(own / "toy" / "leases") == []


def test_a_registry_that_takes_no_lease_is_served_and_the_log_says_so(
    registry: Path, tmp_path: Path
) -> None:
    """A file at the path of the folder stops root too, as a read-only disk would."""
    own = copied(registry, tmp_path)
    files.remove_folder(own / "toy" / "leases")
    (own / "toy" / "leases").touch()
    with serving(own) as server:
        assert server.log_text().count("is not protected from a prune") == 1
        assert server.stop() == 0
