"""A job whose streams, settings or device are not as they should be says so, and is no bug."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_command import JOB, ROOT, Ended
from textvae.config.data import DataConfig, StoreConfig
from textvae.config.training import TrainingConfig
from textvae.errors import InputError
from textvae.settings import from_mapping, read_toml


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(JOB)
    return tmp_path


@pytest.mark.parametrize(("then", "code"), [("end", 0), ("BusyError", 75), ("RejectedError", 3)])
@pytest.mark.parametrize(
    "streams",
    [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", ">&-", "2>&-", ">&- 2>&-", "<&-",
     "<&- >&- 2>&-"],
)  # fmt: skip
def test_streams_that_take_nothing_change_no_exit_code(
    folder: Path, streams: str, then: str, code: int
) -> None:
    done = subprocess.run(
        f"{sys.executable} toy.py --then {then} {streams}",
        shell=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code
    assert json.loads((folder / "runs/toy/result.json").read_bytes())["exit_code"] == code
    if streams == ">/dev/full":
        said = "stdout cannot be written: No space left on device\n"
        assert done.stderr.count(said) == 1


@pytest.mark.parametrize("words", [["info"], ["sample", "--count=2"], ["sample", "--json"]])
def test_a_terminal_whose_disk_is_full_ends_with_74(words: list[str], toy_server: object) -> None:
    address = toy_server.address  # type: ignore[attr-defined]
    command = [sys.executable, "-m", "textvae.cli", *words, "--address", address]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 74
    assert done.stderr == "textvae: [Errno 28] No space left on device\n"


def test_a_closed_descriptor_is_never_the_number_of_a_file(tmp_path: Path) -> None:
    script = (
        "from textvae.pipes import ignore_closed_pipes; ignore_closed_pipes();"
        "stream = open('data', 'w'); raise SystemExit(stream.fileno() < 3)"
    )
    command = f'{sys.executable} -c "{script}" <&- >&- 2>&-'
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60
    )
    assert done.returncode == 0


@pytest.mark.parametrize("how", ["flag", "file"])
def test_a_device_that_is_not_there_is_a_wrong_setting(folder: Path, how: str) -> None:
    (folder / "toy.toml").write_text('[training]\ndevice = "cuda"\n' if how == "file" else "")
    flags = ["--training.device", "cuda"] if how == "flag" else []
    ended = Ended(folder, "toy.py", "--then", "end", "--config", "toy.toml", *flags)
    assert ended.code == 2
    assert ended.line["error"].startswith("training.device: must be cpu on this machine, got cuda")


@pytest.mark.parametrize("job", ["evaluate", "table", "nightly", "train", "demo"])
def test_every_job_refuses_a_device_that_is_not_there_before_it_begins(
    job: str, tmp_path: Path
) -> None:
    section = {"table": "device", "evaluate": "evaluation.device", "nightly": "evaluation.device"}
    flag = section.get(job, "training.device")
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{job}", f"--{flag}", "cuda"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error.startswith(f"{flag}: must be cpu on this machine, got cuda; ")


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_settings_file_of_a_windows_editor_is_read(mark: bytes, tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_bytes(mark + b"[training]\r\nsteps = 7\r\n")
    assert read_toml(path)["training"].steps == 7


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (DataConfig, {"inputs": "inbox"}, 'data.inputs: must be a list, as in ["inbox"], got'),
        (DataConfig, {"blocklist": 3}, "data.blocklist: must be a list, as in [3], got 3"),
        (DataConfig, {"inputs": [3]}, "data.inputs: must be a path in quotes, got 3"),
        (DataConfig, {"inputs": [""]}, "data.inputs: must be a path, got an empty one"),
        (DataConfig, {"test": ["a", " "]}, "data.test: must be a path, got an empty one"),
        (StoreConfig, {"spans": ""}, "store.spans: must be a path, got an empty one"),
        (StoreConfig, {"model": 1}, "store.model: must be text in quotes, got 1"),
        (DataConfig, {"pii": "yes"}, "data.pii: must be true or false, got 'yes'"),
        (TrainingConfig, {"steps": 1.5}, "training.steps: must be a whole number, got 1.5"),
        (TrainingConfig, {"clip": "5"}, "training.clip: must be a number, got '5'"),
    ],
    ids=range(10),
)
def test_a_value_of_another_type_is_refused_in_the_words_of_the_file(
    kind: type, values: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as error:
        from_mapping(kind, values, message.partition(".")[0])
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "flags",
    [["--store.spans", ""], ["--store.registry="], ["--config", ""], ["--result", ""]],
    ids=["spans", "registry", "config", "result"],
)
def test_an_empty_path_such_as_an_unset_variable_is_not_the_working_folder(
    folder: Path, flags: list[str]
) -> None:
    ended = Ended(folder, "toy.py", "--then", "end", *flags)
    assert ended.code == 2
    name = flags[0].strip("-=")
    assert ended.line["error"] == f"{name}: must be a path, got an empty one"


def test_an_empty_input_after_a_full_one_is_refused_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.ingest", "--data.inputs", "a.txt", "", "--data.train", "b"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "data.inputs: must be a path, got an empty one"
