"""The files of a folder: what is hidden stays out, and nothing that is there vanishes silently."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from textvae.config.data import DataConfig
from textvae.corpus.folders import files_of
from textvae.corpus.ingest import ingest
from textvae.errors import DataError

TEXT = "hello there\nwhat is up\n"


def put(folder: Path, *names: str) -> Path:
    """The folder, with a file of text at each of these places."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{TEXT}of {name}\n")
    return folder


def names(folder: Path) -> list[str]:
    return [str(found.path.relative_to(folder)) for found in files_of(folder) if not found.problem]


def problems(folder: Path) -> dict[str, str]:
    return {
        str(one.path.relative_to(folder)): one.problem for one in files_of(folder) if one.problem
    }


@pytest.mark.parametrize(
    "hidden",
    [".ipynb_checkpoints/a.csv", ".Trash-0/files/a.txt", ".git/a.txt", "sub/.cache/deep/a.jsonl",
     ".a.txt", "._a.csv", "..2026_11_28/a.txt", "__MACOSX/._a.txt"],
)  # fmt: skip
def test_what_is_hidden_is_left_out_and_counted(
    hidden: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = put(tmp_path / "inbox", "a.txt", "sub/b.txt", hidden)
    assert names(inbox) == ["a.txt", "sub/b.txt"]
    assert f"{inbox}: left out: 1 hidden files and folders" in caplog.messages


def test_a_folder_of_kubernetes_is_read_once(tmp_path: Path) -> None:
    """Its files are links through `..data`, a link to a hidden folder."""
    inbox = put(tmp_path / "inbox", "..2026_11_28/a.txt")
    (inbox / "..data").symlink_to("..2026_11_28")
    (inbox / "a.txt").symlink_to("..data/a.txt")
    assert names(inbox) == ["a.txt"]


def test_a_hidden_folder_that_the_settings_name_is_read(tmp_path: Path) -> None:
    inbox = put(tmp_path / ".data" / "inbox", "a.txt", "b/c.txt")
    assert names(inbox) == ["a.txt", "b/c.txt"]
    assert names(put(tmp_path / ".own", "a.txt")) == ["a.txt"]


def test_linked_folders_are_read_each_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox, other = put(tmp_path / "inbox", "a.txt", "real/b.txt"), put(tmp_path / "other", "c.txt")
    (inbox / "linked").symlink_to(other)
    (inbox / "again").symlink_to(inbox / "real")
    (inbox / "loop").symlink_to(inbox)
    (inbox / "real" / "up").symlink_to("..")
    assert names(inbox) == ["a.txt", "linked/c.txt", "real/b.txt"]
    said = "3 folders that were reached before, by another link"
    assert f"{inbox}: left out: {said}" in caplog.messages


@pytest.mark.parametrize("name", ["gone.txt", "gone", "gone.csv.gz"])
def test_a_link_that_leads_nowhere_is_a_problem(name: str, tmp_path: Path) -> None:
    inbox = put(tmp_path / "inbox", "a.txt")
    (inbox / name).symlink_to("nowhere")
    (inbox / "self").symlink_to("self")
    assert problems(inbox) == {
        name: "is a link that leads nowhere: No such file or directory",
        "self": "is a link that leads nowhere: Too many levels of symbolic links",
    }


def deny(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the folder unreadable, also for one who may read all."""
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_an_unreadable_folder_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = put(tmp_path / "inbox", "a.txt", "closed/b.txt", "open/c.txt")
    deny(inbox / "closed", monkeypatch)
    assert names(inbox) == ["a.txt", "open/c.txt"]
    assert problems(inbox) == {"closed": "cannot be read: Permission denied"}


def test_an_unreadable_folder_that_the_settings_name_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = put(tmp_path / "inbox", "a.txt")
    deny(inbox, monkeypatch)
    with pytest.raises(DataError, match="inbox: cannot be read: Permission denied"):
        files_of(inbox)


def test_what_is_no_file_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = put(tmp_path / "inbox", "a.txt", "b.pdf")
    os.mkfifo(inbox / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.getcwd()
        os.chdir(inbox)  # the path of a socket is short
        listener.bind("socket.txt")
        os.chdir(folder)
    assert names(inbox) == ["a.txt"]
    assert sorted(caplog.messages) == [
        f"{inbox}: left out: 1 files have no reader",
        f"{inbox}: left out: 2 are no files, but devices, pipes or sockets",
    ]


def test_what_cannot_be_read_is_set_aside_by_the_ingest_and_not_every_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = put(tmp_path / "inbox", "a.txt", "closed/b.txt", ".git/c.txt")
    (inbox / "gone.csv").symlink_to("nowhere")
    with monkeypatch.context() as patch:
        deny(inbox / "closed", patch)
        config, spans = DataConfig(train=(inbox,)), tmp_path / "spans"
        span = ingest(config, spans)
        assert span
        assert span.report["quarantined"]["files"] == {
            "closed": "cannot be read: Permission denied",
            "gone.csv": "is a link that leads nowhere: No such file or directory",
        }
        assert span.report["kept"]["train"] == 3
        assert ingest(config, spans) is None
    later = ingest(config, spans)
    assert later
    assert later.report["kept"]["train"] == 1
