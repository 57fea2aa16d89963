"""Fsck: each damage is said in words, what is derived is repaired, versions are made again."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.fsck import Fsck, main
from tests.drills.fuzz import fuzzed, made
from tests.job_runs import MODEL, Ended, prepared, ran_job
from textvae import files
from textvae.config.data import StoreConfig
from textvae.store.versions import list_versions, open_version, publish


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A registry, spans, and a run with a checkpoint, all small and sound."""
    made(tmp_path)
    state = files.canonical_json({"step": 20})
    checkpoint = tmp_path / "runs" / ("a" * 12) / "checkpoints" / "vae" / "00000020"
    files.write_bytes(checkpoint / "state.json", state)
    sums = {"state.json": files.sha256_file(checkpoint / "state.json")}
    files.write_json(checkpoint / "sums.json", sums)
    return tmp_path


def checked(folder: Path, *, repair: bool = False) -> dict[str, Any]:
    """What fsck says of a folder."""
    folders = {part: folder / part for part in ("registry", "spans", "runs")}
    return main(Fsck(repair=repair, store=StoreConfig(**folders)))


def version_of(folder: Path) -> Path:
    """The folder of its first version."""
    names = list_versions(folder / "registry", MODEL)
    return folder / "registry" / MODEL / "versions" / names[-1]


def only(things: list[Any]) -> Any:
    """The one thing there is."""
    assert len(things) == 1, things
    return things[0]


def flip(path: Path) -> None:
    """One bit of a file is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


def test_what_is_whole_is_sound(kept: Path) -> None:
    said = checked(kept)
    assert (said["outcome"], said["findings"]) == ("sound", [])
    assert said["checked"] == {"versions": 2, "spans": 2}


def harms(folder: Path) -> dict[str, tuple[Callable[[], object], str]]:
    """What befalls a folder, and what is said of it."""
    model, version = folder / "registry" / MODEL, version_of(folder)
    log, shelf = model / "promotions", model / "attachments" / version.name
    span = min((folder / "spans").iterdir())
    checkpoint = only(list(folder.glob("runs/*/checkpoints/vae/*")))

    def forge() -> None:
        (log / "000001.json").write_bytes(b"{}")

    def gap() -> None:
        (log / "000001.json").unlink()

    return {
        "weights": (lambda: flip(version / "model.safetensors"), "model.safetensors: has SHA-256"),
        "attachment": (lambda: flip(shelf / "evaluation" / "figures.json"), "has SHA-256"),
        "gone": (lambda: shutil.rmtree(version), "is gone and no prune removed it; restore it"),
        "shelf": (lambda: shutil.rmtree(version), "belongs to a version that is gone"),
        "stranger": (lambda: (model / "versions" / "x").touch(), "versions/x: is not a version"),
        "promotion": (forge, "000001.json: is not promotion 1; restore it"),
        "gap": (gap, "000001.json: is missing, there are later ones"),
        "link": (lambda: (model / "champion").unlink(), "does not point to versions/"),
        "span": (lambda: flip(span / "train.jsonl"), "train.jsonl: has SHA-256"),
        "checkpoint": (lambda: flip(checkpoint / "state.json"), "is damaged; remove it"),
    }


HARMS = (
    *("weights", "attachment", "gone", "shelf", "stranger"),
    *("promotion", "gap", "link", "span", "checkpoint"),
)


@pytest.mark.parametrize("harm", HARMS)
def test_each_damage_is_said(kept: Path, harm: str) -> None:
    do, words = harms(kept)[harm]
    do()
    said = checked(kept)
    assert (said["outcome"], said["exit_code"]) == ("damaged", 66)
    assert [finding for finding in said["findings"] if words in finding], said["findings"]


def test_only_what_is_derived_is_repaired(kept: Path) -> None:
    """A wrong link, and what a kill left a day ago; not weights, nor what is being written now."""
    model, version = kept / "registry" / MODEL, version_of(kept)
    files.point_link(model / "champion", "versions/another")
    old, new = (model / "versions" / f".{age}.unfinished" for age in ("old", "new"))
    for folder in (old, new):
        files.write_bytes(folder / "model.safetensors", b"half")
    os.utime(old, (0, 0))
    flip(version / "model.safetensors")
    said = checked(kept, repair=True)
    assert [problem.split(": ")[0] for problem in said["repaired"]] == [
        f"{model}/champion",
        f"{old}",
    ]
    assert "model.safetensors" in only(said["findings"])
    assert os.readlink(model / "champion") == f"versions/{version.name}"
    assert not old.exists()
    assert new.exists()
    assert checked(kept)["findings"] == said["findings"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which text was ingested and a tiny version trained."""
    folder = prepared(tmp_path_factory.mktemp("fsck") / "chain")
    for job in ("ingest", "train"):
        assert ran_job(folder, job).code == 0
    return folder


def rebuilt(folder: Path, *flags: str) -> Ended:
    """The version of a folder, made again."""
    return ran_job(folder, "fsck", "--rebuild", version_of(folder).name, *flags)


def test_a_version_made_again_twice_is_equal_to_the_byte(chain: Path) -> None:
    runs = sorted(os.listdir(chain / "runs"))
    for _ in range(2):
        line = rebuilt(chain).line
        assert (line["outcome"], line["differences"]) == ("rebuilt_equal", [])
    left = [name for name in os.listdir(chain / "runs") if not name.startswith(".")]
    assert sorted(left) == sorted([*runs, "fsck"])


def test_a_version_that_was_not_made_as_it_says_is_found_out(chain: Path, tmp_path: Path) -> None:
    """A bit of its weights is another, and it says that another torch made it."""
    own = Path(shutil.copytree(chain, tmp_path / "own", symlinks=True))
    version = open_version(own / "registry", MODEL, version_of(own).name)
    contents = {name: (version.folder / name).read_bytes() for name in version.manifest["files"]}
    facts = {key: fact for key, fact in version.manifest.items() if key not in ("format", "files")}
    weights = bytearray(contents["model.safetensors"])
    weights[-1] ^= 1
    shutil.rmtree(own / "registry")
    contents["model.safetensors"] = bytes(weights)
    publish(own / "registry", MODEL, version.name[:8], contents, {**facts, "torch": "2.0.0"})
    refused = rebuilt(own)
    assert (refused.code, refused.line["kind"]) == (2, "InputError")
    assert "torch was 2.0.0, here it is " in refused.line["error"]
    assert "vae: " not in refused.stderr, "it was said before anything was trained"
    ended = rebuilt(own, "--rebuild-anyway")
    assert (ended.code, ended.line["outcome"]) == (66, "rebuilt_different")
    weights_differ, torch_differs = ended.line["differences"]
    assert weights_differ.startswith("model.safetensors: 1 of ")
    assert torch_differs.startswith("manifest.json: torch was '2.0.0', is ")


def test_harms_are_refused_or_change_nothing() -> None:
    """Some of the many of tests/drills/fuzz.py."""
    found = fuzzed(200, seed=7)
    assert found.held
    assert found.figures["bad"] == 0
