"""A version is chosen by its name, as the champion or as the newest, alike in every job."""

import logging
from pathlib import Path

import pytest

from jobs import prune, rollback
from textvae.config.data import StoreConfig
from textvae.errors import InputError, NotFoundError
from textvae.store.choice import choose_version
from textvae.store.pins import list_pins
from textvae.store.promotions import promote
from textvae.store.versions import Version, publish

AT = "2026-01-01T00:00:00Z"


@pytest.fixture
def versions(tmp_path: Path) -> list[Version]:
    """Three versions, oldest first; the second serves."""
    made = [
        publish(tmp_path, "toy", f"2026010{day}", {"f": bytes([day])}, {"spans": {}})
        for day in (1, 2, 3)
    ]
    for expected, version in enumerate(made[:2]):
        promote(tmp_path, "toy", version, expected=expected, reason="", actor="", at=AT)
    return made


@pytest.mark.parametrize(("wanted", "index"), [("", 2), ("newest", 2), ("champion", 1)])
def test_a_word_stands_for_a_version_and_the_log_names_it(
    versions: list[Version], wanted: str, index: int, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with caplog.at_level(logging.INFO):
        assert choose_version(tmp_path, "toy", wanted).name == versions[index].name
    assert f"version {versions[index].name} of toy ({wanted or 'newest'})" in caplog.text
    for version in versions:
        assert choose_version(tmp_path, "toy", version.name).name == version.name


def test_what_is_not_there_is_named_with_what_is(versions: list[Version], tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=versions[0].name):
        choose_version(tmp_path, "toy", "latest")
    with pytest.raises(NotFoundError, match=r"no version of other; python -m jobs\.train"):
        choose_version(tmp_path, "other")
    with pytest.raises(NotFoundError, match="no champion"):
        choose_version(tmp_path, "other", "champion")


def test_a_pin_and_a_rollback_take_the_words(versions: list[Version], tmp_path: Path) -> None:
    store = StoreConfig(registry=tmp_path, model="toy")
    found = prune.main(prune.Prune(pin="champion", store=store))
    assert found == {"outcome": "pinned", "version": versions[1].name}
    assert list_pins(tmp_path, "toy") == [versions[1].name]
    prune.main(prune.Prune(unpin="champion", store=store))
    assert list_pins(tmp_path, "toy") == []
    with pytest.raises(InputError, match=f"{versions[1].name} serves already"):
        rollback.main(rollback.Rollback(to="champion", store=store))


def test_every_job_that_takes_a_version_says_the_same_of_it() -> None:
    """And none looks for the newest by itself."""

    root = Path(__file__).parent.parent
    jobs = [path for path in sorted((root / "jobs").glob("*.py"))
            if "version: str" in path.read_text()]  # fmt: skip
    assert len(jobs) >= 7
    for path in jobs:
        text = path.read_text()
        assert "newest" in text.split("version: str")[1].split('"""')[1], path.name
        assert "list_versions(store.registry, store.model)" not in text, path.name
