"""The history of a model: its promotions, and the versions that were rejected between them."""

import shutil
import time
from pathlib import Path

import pytest

from tests import toys
from textvae.config.prune import PruneConfig
from textvae.reporting.history import GATE, read_history
from textvae.store.decisions import attach_decision
from textvae.store.promotions import rollback
from textvae.store.prune import prune_versions
from textvae.store.versions import Version, list_versions, publish


@pytest.fixture
def versions(tmp_path: Path) -> list[Version]:
    """Three versions without a promotion."""
    contents = ({"model.safetensors": bytes([number])} for number in range(3))
    return [publish(tmp_path, toys.MODEL, "20260101", files, {}) for files in contents]


def decide(registry: Path, version: Version, promotion: int, decision: str, hour: int) -> None:
    """Attach a decision of the gate, with a clock that is behind."""
    record = {
        "decision": decision,
        "reasons": [f"{decision} at {hour}"],
        "at": f"2025-12-31T0{hour}:00:00Z",
    }
    attach_decision(registry, version, promotion, record)


def damage_decision(registry: Path, version: Version) -> Path:
    """Overwrite the file of its one decision and return its path."""
    folder = registry / toys.MODEL / "attachments" / version.name
    (path,) = folder.glob("gate-*/decision.json")
    path.chmod(0o644)
    path.write_bytes(b"{}")
    return path


def test_promotions_and_rejections_are_in_order_the_newest_first(
    tmp_path: Path, versions: list[Version]
) -> None:
    one, two, three = versions
    toys.promoted(tmp_path, one)
    decide(tmp_path, two, 1, "rejected", 1)
    decide(tmp_path, three, 1, "accepted", 2)
    toys.promoted(tmp_path, three, 1)
    decide(tmp_path, two, 2, "rejected", 3)
    rollback(
        tmp_path, toys.MODEL, reason="it stutters", actor="ann@there", at="2026-01-03T00:00:00Z"
    )
    found = read_history(tmp_path, toys.MODEL)
    assert [(entry.number, entry.rejected, entry.version) for entry in found] == [
        (3, False, one.name),
        (2, True, two.name),
        (2, False, three.name),
        (1, True, two.name),
        (1, False, one.name),
    ]
    assert found[0][3:] == ("2026-01-03T00:00:00Z", "ann@there", "rollback: it stutters")
    assert found[1][3:] == ("2025-12-31T03:00:00Z", GATE, "rejected at 3")


def test_a_version_that_the_gate_accepted_in_the_end_was_not_rejected(
    tmp_path: Path, versions: list[Version]
) -> None:
    one, two, three = versions
    decide(tmp_path, one, 0, "rejected", 1)
    decide(tmp_path, one, 0, "first", 2)
    decide(tmp_path, two, 0, "rejected", 3)
    decide(tmp_path, two, 0, "rejected", 4)
    found = read_history(tmp_path, toys.MODEL)
    assert [(entry.version, entry.reason) for entry in found] == [(two.name, "rejected at 4")]
    assert three.name not in str(found)


def test_the_newest_promotions_are_listed_with_the_rejections_against_them(
    tmp_path: Path, versions: list[Version]
) -> None:
    one, two, three = versions
    decide(tmp_path, three, 0, "rejected", 1)
    for number in range(4):
        toys.promoted(tmp_path, (one, two)[number % 2], number)
    decide(tmp_path, three, 2, "rejected", 2)
    decide(tmp_path, three, 4, "rejected", 3)
    found = read_history(tmp_path, toys.MODEL, promotions_max=2)
    assert [(entry.number, entry.rejected) for entry in found] == [
        (4, True),
        (4, False),
        (3, False),
        (2, True),
    ]


def test_damaged_decisions_are_skipped_and_the_rest_is_listed(
    tmp_path: Path, versions: list[Version], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a rejected version's weights nor a promoted version's folder are needed."""
    one, two, three = versions
    toys.promoted(tmp_path, one)
    decide(tmp_path, two, 1, "rejected", 1)
    decide(tmp_path, three, 1, "rejected", 2)
    damaged = damage_decision(tmp_path, two)
    shutil.rmtree(one.folder)
    (three.folder / "model.safetensors").unlink()
    found = read_history(tmp_path, toys.MODEL)
    assert [(entry.version, entry.rejected) for entry in found] == [
        (three.name, True),
        (one.name, False),
    ]
    assert f"not in the history: {damaged}" in caplog.text


def test_a_rejected_version_is_listed_after_it_was_pruned(
    tmp_path: Path, versions: list[Version]
) -> None:
    one, two, three = versions
    toys.promoted(tmp_path, one)
    decide(tmp_path, two, 1, "rejected", 1)
    decide(tmp_path, three, 1, "rejected", 2)
    damage_decision(tmp_path, three)
    config = PruneConfig(versions_kept=1, grace_days=0.0)
    prune_versions(tmp_path, toys.MODEL, config, time.time(), "2026-02-01T00:00:00Z")
    assert list_versions(tmp_path, toys.MODEL) == [one.name]
    entries = [(entry.version, entry.reason) for entry in read_history(tmp_path, toys.MODEL)]
    assert entries[0] == (two.name, "rejected at 1")
    assert [name for name, _ in entries] == [two.name, one.name]
