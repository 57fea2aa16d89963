"""Promotions: one promoter wins, readers always read, and a rollback is one more promotion."""

import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from textvae import files
from textvae.errors import BusyError, CorruptError, InputError, NotFoundError
from textvae.store.promotions import (
    champion,
    current_promotion,
    promote,
    promotion_history,
    rollback,
)
from textvae.store.versions import Version, list_versions, open_version, publish

SPAWN = multiprocessing.get_context("spawn")
BY = {"reason": "a test", "actor": "tester@here", "at": "2026-11-23T02:15:00Z"}


def publish_seed(registry: Path, seed: int) -> Version:
    """A small version of the model `toy`, different for each seed."""
    return publish(registry, "toy", "20261123", {"weights": b"%08d" % seed}, {"seed": seed})


def promote_next(registry: Path, version: Version) -> None:
    """Promotes over whatever serves now."""
    before = current_promotion(registry, "toy")
    promote(registry, "toy", version, expected=before.number if before else 0, **BY)


def promote_for_ever(registry: Path) -> None:
    """Promotes the two versions of a registry in turn."""
    versions = [open_version(registry, "toy", name) for name in list_versions(registry, "toy")]
    while True:
        for version in versions:
            promote_next(registry, version)


def race_promotions(registry: Path, name: str, promoter: int, goal: int) -> None:
    """Promotes until the log has `goal` entries and notes the numbers it won and lost."""
    version = open_version(registry, "toy", name)
    won, lost = [], []
    while (now := current_promotion(registry, "toy")) is None or now.number < goal:
        expected = now.number if now else 0
        try:
            promotion = promote(
                registry,
                "toy",
                version,
                expected=expected,
                reason="a race",
                actor=f"promoter {promoter}",
                at=BY["at"],
            )
            won.append(promotion.number)
        except BusyError:
            lost.append(expected + 1)
    files.write_json(registry / f"promoter-{promoter}.json", {"won": won, "lost": lost})


def test_a_registry_without_champion_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no champion; python -m jobs\.nightly makes one"):
        champion(tmp_path, "toy")
    name = publish_seed(tmp_path, 7).name
    with pytest.raises(NotFoundError, match=rf"python -m jobs\.promote --version {name} makes one"):
        champion(tmp_path, "toy")


def test_the_latest_promotion_serves_and_the_log_keeps_them_all(tmp_path: Path) -> None:
    one, two = publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    first = promote(tmp_path, "toy", one, expected=0, **BY)
    second = promote(tmp_path, "toy", two, expected=1, **BY)
    assert (first.previous, second.previous) == ("", one.name)
    assert promotion_history(tmp_path, "toy") == [first, second]
    assert current_promotion(tmp_path, "toy") == second
    assert champion(tmp_path, "toy") == two
    assert os.readlink(tmp_path / "toy" / "champion") == f"versions/{two.name}"


@pytest.mark.parametrize("expected", [0, 2])
def test_a_promoter_that_judged_against_another_champion_learns_which_serves(
    tmp_path: Path, expected: int
) -> None:
    one, two = publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    promote(tmp_path, "toy", one, expected=0, **BY)
    moved = rf"champion moved.*: {one.name} serves by promotion 1.*against the new champion"
    with pytest.raises(BusyError, match=moved):
        promote(tmp_path, "toy", two, expected=expected, **BY)
    assert champion(tmp_path, "toy") == one


def test_a_log_that_was_changed_by_hand_is_read_as_it_is_now(tmp_path: Path) -> None:
    """A read starts from the last one of its process, and must not rely on that alone."""
    one, two = publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    numbers = [
        (promote_next(tmp_path, version), current_promotion(tmp_path, "toy"))[1]
        for version in [one] * 5
    ]
    log = tmp_path / "toy" / "promotions"
    (log / "000005.json").rename(tmp_path / "000005.json")
    assert current_promotion(tmp_path, "toy") == numbers[3], "the last record was removed"
    (tmp_path / "000005.json").rename(log / "000007.json")
    with pytest.raises(CorruptError, match=r"000007\.json: is not promotion 7"):
        current_promotion(tmp_path, "toy")
    (log / "000007.json").unlink()
    log.rename(tmp_path / "taken away")
    assert current_promotion(tmp_path, "toy") is None
    promote_next(tmp_path, two)
    assert champion(tmp_path, "toy") == two
    log.rename(tmp_path / "the new one")
    (tmp_path / "taken away").rename(log)
    assert current_promotion(tmp_path, "toy") == numbers[3], "a copy was put back"


def test_of_racing_promoters_one_wins_each_number_and_readers_always_read(tmp_path: Path) -> None:
    goal, promoters = 120, 4
    names = [publish_seed(tmp_path, seed).name for seed in range(promoters)]
    processes = [
        SPAWN.Process(target=race_promotions, args=(tmp_path, name, promoter, goal))
        for promoter, name in enumerate(names)
    ]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        if (now := current_promotion(tmp_path, "toy")) is not None:
            assert champion(tmp_path, "toy").name in names
            assert (tmp_path / "toy" / "champion").exists() or now.number == 1
    log = promotion_history(tmp_path, "toy")
    assert [promotion.number for promotion in log] == list(range(1, len(log) + 1))
    assert len(log) >= goal
    assert [promotion.previous for promotion in log[1:]] == [one.version for one in log[:-1]]
    lost = 0
    for promoter, name in enumerate(names):
        notes = json.loads((tmp_path / f"promoter-{promoter}.json").read_bytes())
        actor = f"promoter {promoter}"
        assert notes["won"] == [one.number for one in log if one.actor == actor]
        assert {one.version for one in log if one.actor == actor} <= {name}
        lost += len(notes["lost"])
    assert lost > 0, "the promoters never met, so this proved nothing"
    assert os.readlink(tmp_path / "toy" / "champion") == f"versions/{log[-1].version}"


def test_a_promoter_killed_at_any_time_leaves_a_champion(tmp_path: Path) -> None:
    publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    delays = random.Random(4)
    for _ in range(8):
        before = len(promotion_history(tmp_path, "toy"))
        promoter = SPAWN.Process(target=promote_for_ever, args=(tmp_path,))
        promoter.start()
        while len(promotion_history(tmp_path, "toy")) == before:
            time.sleep(0.001)
        time.sleep(delays.uniform(0, 0.05))
        promoter.kill()
        promoter.join()
        log = promotion_history(tmp_path, "toy")
        assert champion(tmp_path, "toy").name == log[-1].version
        assert (tmp_path / "toy" / "champion" / "manifest.json").exists()


def test_a_rollback_is_one_more_promotion_of_the_version_before(tmp_path: Path) -> None:
    one, two = publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    promote_next(tmp_path, one)
    promote_next(tmp_path, two)
    back = rollback(tmp_path, "toy", **BY)
    assert (back.number, back.version, back.previous) == (3, one.name, two.name)
    assert champion(tmp_path, "toy") == one


def test_rolling_back_twice_goes_two_back_and_not_to_the_bad_one(tmp_path: Path) -> None:
    versions = [publish_seed(tmp_path, seed) for seed in range(3)]
    for version in versions:
        promote_next(tmp_path, version)
    assert rollback(tmp_path, "toy", **BY).version == versions[1].name
    assert rollback(tmp_path, "toy", **BY).version == versions[0].name
    with pytest.raises(InputError, match="no earlier champion to go back to"):
        rollback(tmp_path, "toy", **BY)


def test_a_version_that_is_promoted_again_comes_after_what_served_meanwhile(tmp_path: Path) -> None:
    one, two = publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    for version in (one, two, one):
        promote_next(tmp_path, version)
    assert rollback(tmp_path, "toy", **BY).version == two.name
    assert rollback(tmp_path, "toy", **BY).version == one.name
    with pytest.raises(InputError, match="no earlier champion to go back to"):
        rollback(tmp_path, "toy", **BY)


def test_no_promotion_may_pass_for_a_rollback(tmp_path: Path) -> None:
    version = publish_seed(tmp_path, 1)
    by = BY | {"reason": "rollback: by hand"}
    with pytest.raises(InputError, match="reason: must not begin with 'rollback: '"):
        promote(tmp_path, "toy", version, expected=0, **by)
    assert current_promotion(tmp_path, "toy") is None


def test_a_link_that_cannot_be_renewed_is_a_warning_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    version = publish_seed(tmp_path, 1)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "point_link", refuse)
    promoted = promote(tmp_path, "toy", version, expected=0, **BY)
    assert champion(tmp_path, "toy") == version
    assert promoted == current_promotion(tmp_path, "toy")
    assert f"{version.name} serves, but the link `champion` is not renewed" in caplog.text


def test_a_rollback_goes_to_any_former_champion_by_name(tmp_path: Path) -> None:
    versions = [publish_seed(tmp_path, seed) for seed in range(3)]
    with pytest.raises(InputError, match="no earlier champion"):
        rollback(tmp_path, "toy", **BY)
    for version in versions[:2]:
        promote_next(tmp_path, version)
    with pytest.raises(InputError, match=f"{versions[1].name} serves already"):
        rollback(tmp_path, "toy", to=versions[1].name, **BY)
    with pytest.raises(InputError, match=f"{versions[2].name} never served"):
        rollback(tmp_path, "toy", to=versions[2].name, **BY)
    assert rollback(tmp_path, "toy", to=versions[0].name, **BY).version == versions[0].name


def test_a_rollback_to_a_damaged_version_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    one, two = publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    promote_next(tmp_path, one)
    promote_next(tmp_path, two)
    (one.folder / "weights").chmod(0o644)
    (one.folder / "weights").write_bytes(b"0")
    with pytest.raises(CorruptError, match="/weights: has 1 bytes, its manifest says 8"):
        rollback(tmp_path, "toy", **BY)
    assert champion(tmp_path, "toy") == two


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"number": 1}', None])
def test_a_damaged_promotion_is_refused_and_named(tmp_path: Path, record: bytes | None) -> None:
    version = publish_seed(tmp_path, 1)
    promote_next(tmp_path, version)
    promote_next(tmp_path, version)
    log = tmp_path / "toy" / "promotions"
    (log / "000002.json").write_bytes(
        (log / "000001.json").read_bytes() if record is None else record
    )
    with pytest.raises(CorruptError, match=r"000002\.json: is not promotion 2; restore it"):
        champion(tmp_path, "toy")


def test_a_version_that_is_not_the_promoted_one_does_not_serve(tmp_path: Path) -> None:
    version = publish_seed(tmp_path, 1)
    promote_next(tmp_path, version._replace(manifest_sha256="0" * 64))
    with pytest.raises(CorruptError, match=f"is not the {version.name} that was promoted"):
        champion(tmp_path, "toy")


def test_a_log_that_is_a_link_to_itself_is_no_log(tmp_path: Path) -> None:
    folder = tmp_path / "toy" / "promotions"
    folder.parent.mkdir()
    folder.symlink_to(folder)
    assert current_promotion(tmp_path, "toy") is None
    with pytest.raises(NotFoundError, match="no champion"):
        champion(tmp_path, "toy")
