"""Prune: what anybody needs stays and opens, all else goes, and a kill changes nothing of that."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from textvae import files, locks
from textvae.config.prune import PruneConfig
from textvae.errors import BusyError, CorruptError, NotFoundError
from textvae.store.attachments import attach, list_attachments, read_attachment
from textvae.store.leases import hold_lease
from textvae.store.pins import list_pins, pin, unpin
from textvae.store.promotions import (
    champion,
    current_promotion,
    promote,
    promotion_history,
    rollback,
    rollback_path,
)
from textvae.store.prune import prune_versions, pruned_versions, run_fates, version_fates
from textvae.store.versions import Version, list_versions, open_version, publish

FORK = multiprocessing.get_context("fork")
BY = {"reason": "a test", "actor": "tester@here", "at": "2026-11-23T02:15:00Z"}
AT = BY["at"]
NOW_S = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
DAY_S = 86_400.0


def aged(registry: Path, number: int, days: float, parent: str = "") -> Version:
    """A version of `toy` that was published `days` before NOW_S, with something attached."""
    then_s = NOW_S - days * DAY_S
    day = datetime.fromtimestamp(then_s, UTC).strftime("%Y%m%d")
    facts = {"number": number, "parent": parent}
    version = publish(registry, "toy", day, {"weights": b"%08d" % number}, facts)
    shelf = attach(registry, version, "evaluation", {"figures.json": b"%d" % number}).parent
    for folder in (version.folder, shelf):
        os.utime(folder, (then_s, then_s))
    return version


def promote_next(registry: Path, version: Version) -> None:
    """Promotes over whatever serves now."""
    before = current_promotion(registry, "toy")
    promote(registry, "toy", version, expected=before.number if before else 0, **BY)


def prune(registry: Path, kept: int = 1, grace_days: float = 14) -> dict[str, str]:
    """A prune at NOW_S; what stayed and why."""
    config = PruneConfig(versions_kept=kept, grace_days=grace_days)
    fates = prune_versions(registry, "toy", config, NOW_S, AT)
    assert [fate.name for fate in fates if not fate.goes] == sorted(
        list_versions(registry, "toy"), reverse=True
    )
    return {fate.name: fate.why for fate in fates if not fate.goes}


def test_each_reason_to_stay_keeps_a_version_and_is_said(tmp_path: Path) -> None:
    parent = aged(tmp_path, 1, 90)
    served, back, now = (aged(tmp_path, number, 60 - number) for number in (2, 3, 4))
    for version in (served, back, now):
        promote_next(tmp_path, version)
    child = aged(tmp_path, 5, 50, parent.name)
    pin(tmp_path, "toy", child.name, **BY)
    lent, young, needless = (aged(tmp_path, *which) for which in ((6, 40), (7, 3), (8, 40)))
    with hold_lease(tmp_path, "toy", lent.name, "serve"):
        stays = prune(tmp_path, kept=2)
    assert stays == {
        now.name: "is the champion (promotion 3)",
        back.name: "is one of the last 2 that served",
        child.name: "is pinned",
        parent.name: f"is the parent of {child.name}, which stays",
        lent.name: f"is in use: serve (pid {os.getpid()} on {os.uname().nodename})",
        young.name: "is 3.0 days old, all stay for 14",
    }
    assert pruned_versions(tmp_path, "toy") == {served.name, needless.name}
    assert lent.name not in prune(tmp_path, kept=2), "the lease has ended"


def test_a_version_goes_with_its_attachments_and_nothing_hidden_is_left(tmp_path: Path) -> None:
    old, now = aged(tmp_path, 1, 90), aged(tmp_path, 2, 60)
    promote_next(tmp_path, now)
    prune(tmp_path)
    with pytest.raises(NotFoundError, match=f"no version '{old.name}'; there are {now.name}"):
        open_version(tmp_path, "toy", old.name)
    for kind in ("versions", "attachments"):
        assert os.listdir(tmp_path / "toy" / kind) == [now.name]
    assert read_attachment(tmp_path, now, "evaluation") == {"figures.json": b"2"}


def test_what_a_rollback_would_go_back_to_stays(tmp_path: Path) -> None:
    """Of the last two that served, one was found wanting; the way back leads past it."""
    first, second, third = (aged(tmp_path, number, 90 - number) for number in range(3))
    for version in (first, second, third):
        promote_next(tmp_path, version)
    rollback(tmp_path, "toy", **BY)
    assert prune(tmp_path, kept=2)[first.name] == "is one of those that rollbacks go back to"
    assert rollback(tmp_path, "toy", **BY).version == first.name


@pytest.mark.parametrize("harm", ["promotion", "manifest", "champion"])
def test_nothing_goes_while_it_cannot_be_known_who_needs_what(tmp_path: Path, harm: str) -> None:
    old, now = aged(tmp_path, 1, 90), aged(tmp_path, 2, 60)
    promote_next(tmp_path, now)
    if harm == "promotion":
        (tmp_path / "toy" / "promotions" / "000001.json").write_bytes(b"{")
    elif harm == "manifest":
        (now.folder / "manifest.json").chmod(0o644)
        (now.folder / "manifest.json").write_bytes(b"{}")
    else:
        files.remove_folder(now.folder)
    with pytest.raises(CorruptError):
        prune(tmp_path)
    assert old.name in list_versions(tmp_path, "toy")


def test_a_damaged_version_that_nobody_needs_goes(tmp_path: Path) -> None:
    old, now = aged(tmp_path, 1, 90), aged(tmp_path, 2, 60)
    promote_next(tmp_path, now)
    (old.folder / "manifest.json").unlink()
    os.utime(old.folder, (0, 0))
    assert list(prune(tmp_path)) == [now.name]


def histories(seed: int, registry: Path) -> Iterator[random.Random]:
    """A random life of a registry; gives the chance after each of its 25 events."""
    chance, made = random.Random(seed), 0
    for _ in range(25):
        names = list_versions(registry, "toy")
        event = chance.choice(
            ["publish", "publish", "promote", "promote", "rollback", "pin", "unpin"]
        )
        name = chance.choice(names) if names else ""
        if event == "publish" or not names:
            made += 1
            aged(registry, made, chance.uniform(0, 60), chance.choice(["", *names]))
        elif event == "promote":
            promote_next(registry, open_version(registry, "toy", name))
        elif event == "rollback" and len(rollback_path(promotion_history(registry, "toy"))) > 1:
            rollback(registry, "toy", **BY)
        elif event == "pin":
            pin(registry, "toy", name, **BY)
        elif event == "unpin" and list_pins(registry, "toy"):
            unpin(registry, "toy", chance.choice(list_pins(registry, "toy")))
        yield chance


@pytest.mark.parametrize("seed", range(6))
def test_after_any_history_all_that_must_stay_opens(tmp_path: Path, seed: int) -> None:
    """What must stay is worked out here once more, from the promises alone."""
    gone = 0
    for chance in histories(seed, tmp_path):
        if chance.random() > 0.3:
            continue
        kept, grace_days = chance.randint(1, 4), chance.uniform(0, 40)
        log = promotion_history(tmp_path, "toy")
        before = {
            name: open_version(tmp_path, "toy", name) for name in list_versions(tmp_path, "toy")
        }
        must = set(list_pins(tmp_path, "toy")) | {one.version for one in log[-1:]}
        must |= set(list(dict.fromkeys(one.version for one in reversed(log)))[:kept])
        for version in before.values():
            if NOW_S - version.folder.stat().st_mtime < grace_days * DAY_S:
                must.add(version.name)
        must |= {str(before[name].manifest["parent"]) for name in must} & set(before)
        back = rollback_path(log)[-2:-1]
        prune(tmp_path, kept, grace_days)
        after = set(list_versions(tmp_path, "toy"))
        assert must <= after
        for name in after:
            assert open_version(tmp_path, "toy", name) == before[name]
            assert list_attachments(tmp_path, before[name]) == ["evaluation"]
            assert read_attachment(tmp_path, before[name], "evaluation") is not None
        if log:
            assert champion(tmp_path, "toy") == before[log[-1].version]
        if kept > 1 and back:
            assert back[0] in after
        gone += len(before) - len(after)
    assert gone > 0, "nothing ever went, so this proved nothing"


def prune_and_die(registry: Path, steps: int) -> None:
    """A prune that is killed before its next step on the disk, after so many."""
    left = steps

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def taken(*args: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*args)

        return taken

    for name in ("move", "sweep", "create_by_link"):
        setattr(files, name, counted(getattr(files, name)))
    prune(registry)


def test_a_prune_killed_at_any_step_is_finished_by_the_next(tmp_path: Path) -> None:
    """Between, readers see versions whole or not at all."""
    for step in range(100):
        registry = tmp_path / f"{step}"
        versions = [aged(registry, number, 90 - number) for number in range(3)]
        promote_next(registry, versions[2])
        pruner = FORK.Process(target=prune_and_die, args=(registry, step))
        pruner.start()
        pruner.join()
        for name in list_versions(registry, "toy"):
            version = open_version(registry, "toy", name)
            assert read_attachment(registry, version, "evaluation") is not None
        assert list(prune(registry)) == [versions[2].name]
        for kind in ("versions", "attachments"):
            assert os.listdir(registry / "toy" / kind) == [versions[2].name]
        assert pruned_versions(registry, "toy") == {version.name for version in versions[:2]}
        if pruner.exitcode == 0:
            break
        assert pruner.exitcode == -signal.SIGKILL
    assert step == 10, "two marks, and for each version a line, a sweep, a mark and a sweep"


def test_a_version_that_is_promoted_after_it_was_marked_is_brought_back(tmp_path: Path) -> None:
    """As by a prune that was killed, or a promoter that came between its two checks."""
    old, now = aged(tmp_path, 1, 90), aged(tmp_path, 2, 60)
    promote_next(tmp_path, now)
    promote_next(tmp_path, old)
    files.move(old.folder, old.folder.with_name(f".{old.name}.removed"))
    assert list_versions(tmp_path, "toy") == [now.name]
    assert prune(tmp_path)[old.name] == "is the champion (promotion 2)"
    assert champion(tmp_path, "toy") == old


def test_two_prunes_at_once_are_one_too_many(tmp_path: Path) -> None:
    aged(tmp_path, 1, 90)
    with locks.hold_lock(tmp_path / "toy" / "prune.lock", "prune"):
        with pytest.raises(BusyError, match="held by prune"):
            prune(tmp_path)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    now = aged(tmp_path, 2, 60)
    aged(tmp_path, 1, 90)
    promote_next(tmp_path, now)
    run = tmp_path / "runs" / "0123456789ab"
    files.write_bytes(run / "metrics.jsonl", b"")
    os.utime(run / "metrics.jsonl", (NOW_S - 90 * DAY_S,) * 2)
    before = sorted((path, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*"))
    versions = version_fates(tmp_path, "toy", PruneConfig(1), NOW_S)
    runs = run_fates(run.parent, PruneConfig(), NOW_S)
    assert [fate.goes for fate in (*versions, *runs)] == [False, True, True]
    assert sorted((path, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
