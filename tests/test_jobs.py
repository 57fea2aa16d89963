"""The jobs one after the other, as processes: text in, a champion out, and nothing damaged by."""

import io
import json
import pickle
import pickletools
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from tests.job_runs import MODEL, Ended, prepared, ran_job
from textvae.corpus.spans import load_spans
from textvae.model.native import native
from textvae.model.products import LANES_MIN
from textvae.store.promotions import champion
from textvae.store.versions import list_versions


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Ended]]:
    """A folder in which text was ingested, a version trained, evaluated and promoted."""
    folder = prepared(tmp_path_factory.mktemp("jobs") / "chain")
    ended = {job: ran_job(folder, job) for job in ("ingest", "train", "evaluate")}
    name = ended["train"].line["version"]
    ended["promote"] = ran_job(folder, "promote", "--version", name, "--force")
    return folder, ended


def test_text_becomes_a_champion_in_four_commands(chain: tuple[Path, dict[str, Ended]]) -> None:
    folder, ended = chain
    assert {job: one.code for job, one in ended.items()} == dict.fromkeys(ended, 0)
    lines = {job: one.line for job, one in ended.items()}
    assert lines["ingest"]["outcome"] == "ingested"
    assert sum(lines["ingest"]["report"]["kept"].values()) == 600
    assert (folder / "spans" / lines["ingest"]["span"] / "manifest.json").is_file()
    assert lines["train"]["outcome"] == "trained"
    name = lines["train"]["version"]
    assert list_versions(folder / "registry", MODEL) == [name]
    # Twenty steps teach too little for the gate, which says so.
    assert (lines["evaluate"]["outcome"], lines["evaluate"]["version"]) == ("rejected", name)
    assert lines["evaluate"]["reasons"]
    assert lines["evaluate"]["figures"]["elbo_nats"] < 0
    able = (library := native()) is not None and library.lanes_best() >= LANES_MIN
    assert (lines["evaluate"]["int8"] is not None) == able
    if able:
        assert lines["evaluate"]["int8"]["tokens"] > lines["evaluate"]["int8"]["sentences"] > 0
    assert lines["promote"]["outcome"] == "promoted"
    now = champion(folder / "registry", MODEL)
    assert now is not None
    assert now.name == name


def test_people_read_the_report_and_the_figures_on_stderr(
    chain: tuple[Path, dict[str, Ended]],
) -> None:
    ended = chain[1]
    assert "600" in ended["ingest"].stderr
    assert "vae: 20 of 20" in ended["train"].stderr
    assert "distinct, fitted prior" in ended["evaluate"].stderr


def test_training_once_more_from_nothing_gives_the_same_version(
    chain: tuple[Path, dict[str, Ended]], tmp_path: Path
) -> None:
    first = chain[1]["train"].line["version"]
    folder = prepared(tmp_path / "again")
    shutil.copytree(chain[0] / "spans", folder / "spans")
    again = ran_job(folder, "train").line["version"]
    # The name begins with the day, and midnight may have passed.
    assert again.split("-")[1] == first.split("-")[1]


def holds_a_pickle(data: bytes) -> bool:
    """Whether bytes are a pickle, or a zip with one, such as torch.save writes."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(holds_a_pickle(archive.read(name)) for name in archive.namelist())
    try:
        return len(list(pickletools.genops(data))) > 0
    except (ValueError, IndexError):
        return False


def test_no_file_that_a_job_writes_holds_a_pickle(chain: tuple[Path, dict[str, Ended]]) -> None:
    saved = io.BytesIO()
    torch.save({"one": torch.zeros(2)}, saved)
    pickles = [saved.getvalue(), *(pickle.dumps([1, "one"], number) for number in range(6))]
    assert all(map(holds_a_pickle, pickles))
    folders = [chain[0] / name for name in ("registry", "spans", "runs")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in paths}
    assert {".safetensors", ".model", ".json", ".jsonl", ".toml"} <= kinds
    assert any("checkpoints" in path.parts for path in paths)
    assert [path for path in paths if holds_a_pickle(path.read_bytes())] == []


def test_the_same_text_once_more_is_no_data(chain: tuple[Path, dict[str, Ended]]) -> None:
    assert ran_job(chain[0], "ingest").line["outcome"] == "no_data"


@pytest.mark.parametrize("damage", ["corrupt", "truncated", "swapped"])
def test_evaluate_refuses_damaged_weights_and_names_the_file(
    chain: tuple[Path, dict[str, Ended]], tmp_path: Path, damage: str
) -> None:
    folder = Path(shutil.copytree(chain[0], tmp_path / "copy", symlinks=True))
    name = list_versions(folder / "registry", MODEL)[0]
    version = folder / "registry" / MODEL / "versions" / name
    weights = version / "model.safetensors"
    data = weights.read_bytes()
    middle = len(data) // 2
    damaged = {
        "corrupt": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "truncated": data[:-1],
        "swapped": (version / "language_model.safetensors").read_bytes(),
    }[damage]
    weights.chmod(0o644)
    weights.write_bytes(damaged)
    before = sorted(path.name for path in (folder / "registry").rglob("*"))
    ended = ran_job(folder, "evaluate")
    assert (ended.code, ended.line["kind"]) == (66, "CorruptError")
    assert f"{name}/model.safetensors" in ended.line["error"]
    assert sorted(path.name for path in (folder / "registry").rglob("*")) == before


def test_a_version_that_serves_already_is_left_as_it_is(
    chain: tuple[Path, dict[str, Ended]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(chain[0], tmp_path / "copy", symlinks=True))
    name = chain[1]["train"].line["version"]
    again = ran_job(folder, "promote", "--version", name)
    assert again.line["outcome"] == "up_to_date"
    log = json.dumps(chain[1]["promote"].line["promotion"], sort_keys=True)
    assert json.dumps(again.line["promotion"], sort_keys=True) == log


def test_a_champion_is_still_judged_once_text_that_it_learned_from_was_forgotten(
    chain: tuple[Path, dict[str, Ended]], tmp_path: Path
) -> None:
    """On what is left."""
    folder = Path(shutil.copytree(chain[0], tmp_path / "copy", symlinks=True))
    name = list_versions(folder / "registry", MODEL)[0]
    corpus = load_spans(folder / "spans")
    (folder / "forget.txt").write_text(f"{corpus.train[0].text}\n{corpus.test[0].text}\n")
    result = ran_job(folder, "ingest", "--forget", "forget.txt").line
    assert (result["outcome"], result["sentences"], result["erased"]) == ("forgotten", 2, 2)
    assert result["spans"][corpus.names[0]]["erased"] == {"train": 1, "valid": 0, "test": 1}
    ended = ran_job(folder, "evaluate", "--version", name)
    assert (ended.code, ended.line["version"]) == (0, name)
