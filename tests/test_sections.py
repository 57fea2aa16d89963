"""A job takes the sections that it uses, and says what it does with all others of its file."""

import dataclasses
import importlib
import inspect
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from jobs.command import _failure, _Options, _settings
from jobs.demo import TRAINING, Demo, _data
from jobs.doctor import Doctor
from jobs.explain import Explain
from jobs.export import Export
from jobs.nightly import Nightly
from jobs.rollback import Rollback
from jobs.sections import SECTIONS, TAKERS, sections_taken
from jobs.table import Table
from jobs.train import Train
from textvae.errors import DataError, InputError
from textvae.presets import PRESETS

SHARED = "".join(f"[{name}]\n" for name in SECTIONS)
JOBS = sorted(path.stem for path in (Path(__file__).parent.parent / "jobs").glob("*.py"))


def settings_of(kind: type[Any], toml: str, folder: Path, *flags: str, preset: str = "") -> Any:
    """The settings of a job with a file of its own."""
    (folder / "own.toml").write_text(toml)
    options = _Options(config=folder / "own.toml", preset=preset)  # type: ignore[arg-type]
    return _settings(kind.__name__.lower(), kind, options, flags)


def kinds() -> dict[str, type[Any]]:
    """The settings of each job, by its name."""
    found = {}
    for name in JOBS:
        module = importlib.import_module(f"jobs.{name}")
        for kind_name, kind in inspect.getmembers(module, inspect.isclass):
            own = kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind)
            if own and kind_name.lower() == name:
                found[name] = kind
    return found


def test_the_jobs_of_a_section_are_those_that_take_it() -> None:
    found = kinds()
    assert {"demo", "nightly", "doctor", "table"} < set(found)
    for section, words in TAKERS.items():
        takers = {name for name, kind in found.items() if section in sections_taken(kind)}
        named = set(re.findall(r"\w+", words))
        if words.startswith("all jobs but"):
            takers = set(found) - takers
        assert takers - {"bench"} == (named & set(JOBS)) - {"bench"}, section


@pytest.mark.parametrize(
    ("kind", "section"),
    [(Demo, "store"), (Demo, "serve"), (Explain, "data"), (Table, "training"), (Rollback, "data")],
)
def test_a_section_that_would_be_ignored_is_refused(
    kind: type[Any], section: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        settings_of(kind, f"[{section}]\n", tmp_path)
    assert error.value.field == section
    job = kind.__name__.lower()
    for words in (
        f"own.toml has [{section}], which {job} would ignore: {job} takes ",
        f"[{sections_taken(kind)[0]}]",
        f"[{section}] is of {TAKERS[section]}",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize("kind", [Train, Doctor, Nightly, Rollback, Export])
def test_the_file_of_a_nightly_run_serves_its_jobs_and_the_log_names_the_rest(
    kind: type[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        settings_of(kind, SHARED, tmp_path)
    ignored = [name for name in SECTIONS if name not in sections_taken(kind)]
    assert (caplog.text.count(f"not for {kind.__name__.lower()}")) == bool(ignored)
    for name in ignored:
        assert f"[{name}]" in caplog.text.split("which takes ")[1].split(": ")[1]


@pytest.mark.parametrize(
    ("kind", "flag"),
    [(Train, "--data.text-column"), (Demo, "--store.runs=x"), (Rollback, "--training.steps")],
)
def test_a_flag_of_another_jobs_section_says_whose_it_is(
    kind: type[Any], flag: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        settings_of(kind, "", tmp_path, flag, "1")
    section = flag.strip("-").partition(".")[0]
    assert error.value.field == flag.strip("-").partition("=")[0].replace("-", "_")
    assert f"is no flag of {kind.__name__.lower()}, which takes" in str(error.value)
    assert f"[{section}] is of {TAKERS[section]}" in str(error.value)


@pytest.mark.parametrize("kind", [Doctor, Table])
def test_a_preset_is_refused_by_a_job_without_its_sections(kind: type[Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="preset: lm is a recipe of"):
        settings_of(kind, "", tmp_path, preset="lm")


def test_a_file_replaces_single_values_of_a_jobs_own_defaults(tmp_path: Path) -> None:
    found = settings_of(Demo, "[training]\nseed = 3\n", tmp_path)
    assert (found.training.seed, found.training.steps) == (3, TRAINING.steps)
    assert settings_of(Table, "[evaluation]\nseed = 3\n", tmp_path).evaluation.sentences == 2000
    whole = settings_of(Demo, 'preset = "lm"\n[training]\nseed = 3\n', tmp_path).training
    assert (whole.seed, whole.steps) == (3, PRESETS["lm"].training.steps)


def test_the_demo_reads_text_as_its_data_section_says(tmp_path: Path) -> None:
    toml = '[data]\ntext_column = "utterance"\nlabel_column = "intent"\n'
    found = _data(settings_of(Demo, toml, tmp_path, "--input", "u.csv"))
    assert (found.inputs, found.text_column) == ((Path("u.csv"),), "utterance")
    named = settings_of(Demo, toml + 'train = ["a.csv"]\n', tmp_path)
    assert _data(named) == named.data


@pytest.mark.parametrize(
    ("toml", "flags", "message"),
    [
        ('[data]\ninputs = ["a"]\n', ("--input", "b"), "input: and data.inputs both name text"),
        ('[data]\ntext_column = "t"\n', (), "data.text_column: is about text of your own"),
        ("", ("--data.pii",), "data.pii: is about text of your own"),
    ],
)
def test_the_demo_ignores_nothing_that_is_said_of_text(
    toml: str, flags: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        _data(settings_of(Demo, toml, tmp_path, *flags))
    assert str(error.value).startswith(message)


def test_an_error_that_names_settings_of_other_jobs_says_whose_they_are() -> None:
    error = DataError("spans: nothing is held out; raise data.test_share or gate.sentences")
    said = _failure(Train, error)["error"]
    assert said == (
        f"{error} (data.test_share is a setting of {TAKERS['data']}; "
        f"gate.sentences is a setting of {TAKERS['gate']})"
    )
    assert _failure(Nightly, error)["error"] == str(error)
    assert _failure(Demo, DataError("data.csv: no data.text_column"))["error"].endswith("column")


def test_a_table_has_one_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluation\.device: is --device here"):
        settings_of(Table, "", tmp_path, "--evaluation.device", "cuda")
