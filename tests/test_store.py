"""The registry: what is published or attached opens as it was, or not at all."""

import json
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from textvae import files
from textvae.errors import CorruptError, InputError, NotFoundError
from textvae.store.attachments import attach, list_attachments, read_attachment
from textvae.store.versions import Version, list_models, list_versions, open_version, publish

SPAWN = multiprocessing.get_context("spawn")
WEIGHTS = b"weights " * 1000


def publish_seed(registry: Path, seed: int, date: str = "20261123") -> Version:
    """A small version of the model `toy`, different for each seed."""
    contents = {"model.safetensors": WEIGHTS, "tokenizer.model": b"pieces %d" % seed}
    return publish(registry, "toy", date, contents, {"seed": seed})


def publish_for_ever(registry: Path) -> None:
    """Publishes version after version."""
    seed = 0
    while True:
        seed += 1
        publish_seed(registry, seed)


def publish_one(registry: Path, output: Path) -> None:
    """Publishes one version and tells its name."""
    files.write_text(output, publish_seed(registry, 7).name)


def unlock(path: Path) -> Path:
    """A published file made writable, as someone who meddles would."""
    path.chmod(0o644)
    return path


def truncate(folder: Path) -> None:
    unlock(folder / "model.safetensors").write_bytes(WEIGHTS[:-1])


def flip_a_bit(folder: Path) -> None:
    unlock(folder / "model.safetensors").write_bytes(b"W" + WEIGHTS[1:])


def swap_tokenizers(folder: Path) -> None:
    unlock(folder / "tokenizer.model").write_bytes(b"pieces 8")


def lose_a_file(folder: Path) -> None:
    (folder / "tokenizer.model").unlink()


def add_a_file(folder: Path) -> None:
    (folder / "weights.pt").write_bytes(b"pickle")


def link_a_file(folder: Path) -> None:
    outside = folder.parent / "outside"
    shutil.move(folder / "tokenizer.model", outside)
    (folder / "tokenizer.model").symlink_to(outside)


def lose_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def tear_the_manifest(folder: Path) -> None:
    manifest = unlock(folder / "manifest.json")
    manifest.write_bytes(manifest.read_bytes()[:-20])


def nest_the_manifest(folder: Path) -> None:
    """Deeper than any reader of JSON can follow."""
    unlock(folder / "manifest.json").write_bytes(b"[" * 100_000)


def inflate_the_manifest(folder: Path) -> None:
    """To more than fits in memory; it takes no room on the disk."""
    os.truncate(unlock(folder / "manifest.json"), 1 << 40)


def pipe_the_manifest(folder: Path) -> None:
    """Nobody writes to it, so whoever reads it waits for ever."""
    lose_the_manifest(folder)
    os.mkfifo(folder / "manifest.json")


def forge_the_manifest(folder: Path) -> None:
    """Changes a file and its line in the manifest alike."""
    swap_tokenizers(folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    sha256 = files.sha256_file(folder / "tokenizer.model")
    manifest["files"]["tokenizer.model"]["sha256"] = sha256
    unlock(folder / "manifest.json").write_bytes(files.canonical_json(manifest))


def name_a_path(folder: Path) -> None:
    """Has the manifest name a file outside the folder."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["../../../secret"] = manifest["files"].pop("tokenizer.model")
    unlock(folder / "manifest.json").write_bytes(files.canonical_json(manifest))


@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (truncate, "model.safetensors", "has 7999 bytes, its manifest says 8000"),
        (flip_a_bit, "model.safetensors", "has SHA-256 [0-9a-f]{64}, its manifest says"),
        (swap_tokenizers, "tokenizer.model", "has SHA-256"),
        (lose_a_file, "tokenizer.model", "is missing, its manifest names it"),
        (add_a_file, "weights.pt", "is not in the manifest"),
        (link_a_file, "tokenizer.model", "is not a plain file"),
        (lose_the_manifest, "manifest.json", "is missing"),
        (tear_the_manifest, "manifest.json", "is torn or not JSON"),
        (nest_the_manifest, "manifest.json", "is torn or not JSON"),
        (inflate_the_manifest, "manifest.json", "has more than 16777216 bytes"),
        (pipe_the_manifest, "manifest.json", "is not a plain file"),
        (forge_the_manifest, "manifest.json", "is not the manifest that 20261123-"),
        (name_a_path, "manifest.json", "has an entry that makes no sense, '../../../secret'"),
    ],
)
def test_a_damaged_version_is_refused_and_the_file_named(
    tmp_path: Path, damage: Callable[[Path], None], file: str, problem: str
) -> None:
    version = publish_seed(tmp_path, 7)
    damage(version.folder)
    with pytest.raises(CorruptError, match=rf"/{file}: {problem}.*restore the folder") as refusal:
        open_version(tmp_path, "toy", version.name)
    assert refusal.value.exit_code == 66


def test_a_version_of_a_later_format_says_who_can_read_it(tmp_path: Path) -> None:
    version = publish_seed(tmp_path, 7)
    manifest = {**version.manifest, "format": 2}
    unlock(version.folder / "manifest.json").write_bytes(files.canonical_json(manifest))
    with pytest.raises(CorruptError, match="is in format 2, this textvae reads format 1"):
        open_version(tmp_path, "toy", version.name)


def test_a_version_opens_as_it_was_published(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(WEIGHTS)
    made = publish(tmp_path, "toy", "20261123", {"a": source, "b": b"bytes"}, {"seed": 3})
    assert made == open_version(tmp_path, "toy", made.name)
    assert (made.folder / "a").read_bytes() == WEIGHTS
    assert (made.folder / "b").read_bytes() == b"bytes"
    assert made.manifest["seed"] == 3
    assert made.manifest["files"]["a"]["bytes"] == len(WEIGHTS)
    assert made.name == f"20261123-{made.manifest_sha256[:12]}"
    assert {path.stat().st_mode & 0o222 for path in made.folder.iterdir()} == {0}


def test_two_builds_of_the_same_thing_are_equal_byte_by_byte(tmp_path: Path) -> None:
    one = publish(tmp_path / "one", "toy", "20261123", {"a": b"1", "b": b"2"}, {"x": 1, "y": 2})
    two = publish(tmp_path / "two", "toy", "20261123", {"b": b"2", "a": b"1"}, {"y": 2, "x": 1})
    assert one.name == two.name
    for path in one.folder.iterdir():
        assert path.read_bytes() == (two.folder / path.name).read_bytes()


def test_publishing_the_same_again_gives_the_version_there_is(tmp_path: Path) -> None:
    first = publish_seed(tmp_path, 7)
    assert publish_seed(tmp_path, 7) == first
    assert list_versions(tmp_path, "toy") == [first.name]


def test_publishing_over_a_damaged_version_does_not_hide_the_damage(tmp_path: Path) -> None:
    truncate(publish_seed(tmp_path, 7).folder)
    with pytest.raises(CorruptError):
        publish_seed(tmp_path, 7)


def test_processes_that_publish_the_same_agree_on_one_version(tmp_path: Path) -> None:
    output = [tmp_path / f"output-{publisher}" for publisher in range(4)]
    processes = [SPAWN.Process(target=publish_one, args=(tmp_path / "r", path)) for path in output]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {path.read_text() for path in output} == set(list_versions(tmp_path / "r", "toy"))
    assert len(list_versions(tmp_path / "r", "toy")) == 1


def test_a_publisher_killed_at_any_time_leaves_only_whole_versions(tmp_path: Path) -> None:
    delays = random.Random(3)
    for trial in range(8):
        registry = tmp_path / str(trial)
        publisher = SPAWN.Process(target=publish_for_ever, args=(registry,))
        publisher.start()
        while not list_versions(registry, "toy"):
            time.sleep(0.001)
        time.sleep(delays.uniform(0, 0.05))
        publisher.kill()
        publisher.join()
        for name in list_versions(registry, "toy"):
            assert open_version(registry, "toy", name).name == name


def test_a_version_that_is_missing_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no version 'x'; python -m jobs\.train makes"):
        open_version(tmp_path, "toy", "x")
    there = publish_seed(tmp_path, 7)
    with pytest.raises(NotFoundError, match=f"no version '../toy'; there are {there.name}"):
        open_version(tmp_path, "toy", "../toy")


@pytest.mark.parametrize("model", ["", "..", "a/b", "Upper", "-first", "a" * 64, "a\n"])
def test_a_model_name_that_is_no_name_is_an_input_error(tmp_path: Path, model: str) -> None:
    with pytest.raises(InputError, match="model: must be 1 to 63 lower-case letters"):
        list_versions(tmp_path, model)


def test_versions_are_listed_newest_first_and_strangers_are_not(tmp_path: Path) -> None:
    assert list_models(tmp_path / "nowhere") == []
    names = []
    for seed, date in enumerate(["20261121", "20261123", "20261123", "20261122"]):
        names.append(publish_seed(tmp_path, seed, date).name)
        time.sleep(0.01)
    versions = tmp_path / "toy" / "versions"
    (versions / ".0123.unfinished").mkdir()
    (versions / "notes.txt").touch()
    (tmp_path / "not-a-model").mkdir()
    assert list_versions(tmp_path, "toy") == [names[2], names[1], names[3], names[0]]
    assert list_models(tmp_path) == ["toy"]


def test_an_attachment_is_read_as_it_was_attached(tmp_path: Path) -> None:
    version = publish_seed(tmp_path, 7)
    assert read_attachment(tmp_path, version, "evaluation") is None
    assert list_attachments(tmp_path, version) == []
    folder = attach(tmp_path, version, "evaluation", {"evaluation.json": b"{}", "plot.png": b"x"})
    assert attach(tmp_path, version, "evaluation", {"plot.png": b"x", "evaluation.json": b"{}"})
    assert read_attachment(tmp_path, version, "evaluation") == {
        "evaluation.json": b"{}",
        "plot.png": b"x",
    }
    assert list_attachments(tmp_path, version) == ["evaluation"]
    assert json.loads((folder / "manifest.json").read_bytes())["version"] == version.name
    assert open_version(tmp_path, "toy", version.name) == version


def test_an_attachment_is_never_rewritten(tmp_path: Path) -> None:
    version = publish_seed(tmp_path, 7)
    attach(tmp_path, version, "evaluation", {"evaluation.json": b"good"})
    with pytest.raises(InputError, match=r"'evaluation' is attached to .* with other content"):
        attach(tmp_path, version, "evaluation", {"evaluation.json": b"better"})
    attachment = read_attachment(tmp_path, version, "evaluation")
    assert attachment == {"evaluation.json": b"good"}


def test_a_damaged_attachment_is_refused_and_the_file_named(tmp_path: Path) -> None:
    version = publish_seed(tmp_path, 7)
    folder = attach(tmp_path, version, "evaluation", {"evaluation.json": b"rejected"})
    unlock(folder / "evaluation.json").write_bytes(b"accepted")
    with pytest.raises(CorruptError, match=r"/evaluation\.json: has SHA-256"):
        read_attachment(tmp_path, version, "evaluation")


def test_an_attachment_of_another_version_is_refused(tmp_path: Path) -> None:
    good, bad = publish_seed(tmp_path, 1), publish_seed(tmp_path, 2)
    folder = attach(tmp_path, good, "evaluation", {"evaluation.json": b"accepted"})
    shutil.copytree(folder, folder.parent.parent / bad.name / "evaluation")
    with pytest.raises(CorruptError, match=f"does not belong to version {bad.name}"):
        read_attachment(tmp_path, bad, "evaluation")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden"])
def test_an_attachment_name_that_is_no_name_is_an_input_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="name: must be 1 to 63"):
        attach(tmp_path, publish_seed(tmp_path, 7), name, {"a": b"b"})
