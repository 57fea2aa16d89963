"""Leases: a version that is in use is known to be, for as long as its user lives."""

import os
import signal
from pathlib import Path

import pytest

from tests.serving import another_version, copied, put_in_service, serving, within
from textvae import files
from textvae.errors import NotFoundError
from textvae.store.leases import lease_holders, leased
from textvae.store.promotions import champion, current, promote
from textvae.store.versions import publish


def test_a_lease_is_seen_while_it_is_held_and_leaves_nothing(tmp_path: Path) -> None:
    with leased(tmp_path, "toy", "one", "serve"), leased(tmp_path, "toy", "one", "promote"):
        assert list(lease_holders(tmp_path, "toy")) == ["one"]
    assert os.listdir(tmp_path / "toy" / "leases") == []


def test_a_version_that_was_removed_is_not_promoted(tmp_path: Path) -> None:
    """As by a prune, after it was opened and before it held a lease."""
    version = publish(tmp_path, "toy", "20261123", {"weights": b"1"}, {})
    files.remove_folder(version.folder)
    with pytest.raises(NotFoundError, match="was removed; promote another version"):
        promote(tmp_path, "toy", version, expected=0, reason="test", actor="test", at="now")
    assert current(tmp_path, "toy") is None


def test_a_server_holds_what_it_serves_until_it_is_killed(registry: Path, tmp_path: Path) -> None:
    own = copied(registry, tmp_path)
    first = champion(own, "toy")
    with serving(own, "--poll-s", "0.1") as server:
        assert lease_holders(own, "toy")[first.name].startswith(f"serve (pid {server.process.pid} ")
        second = another_version(own)
        put_in_service(own, second)
        within(20, lambda: list(lease_holders(own, "toy")) == [second.name])
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        assert lease_holders(own, "toy") == {}
    assert os.listdir(own / "toy" / "leases") == []


def test_a_registry_that_takes_no_lease_is_served_and_the_log_says_so(
    registry: Path, tmp_path: Path
) -> None:
    """A file in the place of the folder refuses root too, as a read-only disk would."""
    own = copied(registry, tmp_path)
    files.remove_folder(own / "toy" / "leases")
    (own / "toy" / "leases").touch()
    with serving(own) as server:
        assert server.said().count("is not protected from a prune") == 1
        assert server.stop() == 0
