"""Sentences from files with columns, and what of stdin is no sentence."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server
from tests.test_cli import NOWHERE, SENTENCES, lines, terminal
from textvae.cli.commands import main

TABLE = f'id;utterance;intent\n1;{SENTENCES[0]};a\n2;"{SENTENCES[1]}";b\n'
OBJECTS = [{"id": n, "utterance": sentence, "intent": "a"} for n, sentence in enumerate(SENTENCES)]


@pytest.fixture
def encode(toy_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Encodes a file of this name and content: (exit code, rows, stderr)."""

    def encode(name: str, content: str | bytes, *words: str) -> tuple[int, list[Any], str]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        command = ("encode", "--json", "--input", str(path), "--address", toy_server.address)
        code = main([*command, *words])
        output, errors = capsys.readouterr()
        return code, lines(output), errors.replace(f"{path}", name)

    return encode


COLUMN = ("--text-column", "utterance")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", TABLE.replace(";", ","), COLUMN),
        ("a.csv", TABLE.replace("\n", "\r\n"), (*COLUMN, "--delimiter", ";")),
        ("a.tsv", TABLE.replace(";", "\t"), COLUMN),
        ("a.jsonl", "\n".join(map(json.dumps, OBJECTS)), COLUMN),
        ("a.json", json.dumps(OBJECTS), COLUMN),
        ("a.json", json.dumps(SENTENCES), ()),
        ("a.txt", "\ufeff" + "\r\n".join(SENTENCES), ()),
        ("a.csv.gz", gzip.compress(TABLE.replace(";", ",").encode()), COLUMN),
    ],
    ids=["csv", "semicolons", "tsv", "jsonl", "json", "strings", "txt", "packed"],
)
def test_sentences_come_from_the_named_column_of_a_file(
    name: str, content: str | bytes, words: tuple[str, ...], encode: Any
) -> None:
    code, rows, errors = encode(name, content, *words)
    assert (code, errors) == (0, "")
    assert [row["sentence"] for row in rows] == SENTENCES


def test_a_row_that_is_refused_is_named_by_its_line_of_the_file(encode: Any) -> None:
    table = f'utterance,intent\n{SENTENCES[0]},a\n,b\n{"x" * 1001},c\n"two\nlines",d\na,b,c\nz,e\n'
    code, rows, errors = encode("a.csv", table, *COLUMN)
    assert code == 65
    assert {row["line"]: row["error"].split(";")[0] for row in rows if "error" in row} == {
        3: "is blank",
        4: "must be at most 1000 characters, got 1001",
        7: "cannot be read: more fields than the header has",
    }
    assert [row["sentence"] for row in rows if "sentence" in row] == [
        SENTENCES[0], "two lines", "z"
    ]  # fmt: skip
    assert "textvae: line 4 of a.csv: must be at most 1000 characters" in errors
    assert errors.endswith("textvae: 3 of 6 lines failed\n")
    code, rows, _ = encode("a.csv", f"utterance\n{SENTENCES[0]}\n \n", *COLUMN, "--skip-blank")
    assert code == 0
    code, rows, errors = encode("a.json", json.dumps([*OBJECTS, {"utterance": "\x07 x" * 400}]))
    assert (code, rows) == (65, [])
    assert errors.startswith("textvae: a.json: has no column 'text'; set --text-column to one of ")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--input", "nowhere.csv"), 66, "nowhere.csv: no such file"),
        (("--input", "a.xlsx"), 2, "--input: a.xlsx: must end in .txt, .jsonl, .csv, "),
        (("--input", "."), 2, "--input: must be a file, got .; "),
        (("--input", "a.csv"), 65, "a.csv: has no column 'text'; set --text-column to one of id, "),
        (("--input", "a.csv", "--delimiter", "ab"), 2, "--delimiter: must be one character, or "),
        (("--input", "a.csv", "a sentence"), 2, "sentences: must not be named with --input; "),
        (("--text-column", "id", "a sentence"), 2, "--text-column: is of a file with columns; "),
        (("--delimiter", ";", "a sentence"), 2, "--delimiter: is of a file with columns; "),
    ],
)
def test_a_file_that_is_none_is_an_error_in_the_words_of_the_terminal(
    words: tuple[str, ...],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("id,utterance\n1,a\n")
    Path("a.xlsx").write_bytes(b"PK")
    assert main(["score", *words, "--address", NOWHERE]) == code
    errors = capsys.readouterr().err
    assert errors.startswith(f"textvae: {message}")
    assert "data." not in errors


@pytest.mark.parametrize("suffix", ["parquet", "txt.zst"])
def test_a_file_that_needs_pyarrow_says_what_to_install(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"PAR1")
    script = (
        "import sys; sys.modules['pyarrow'] = None; from textvae.cli.commands import main; "
        f"sys.exit(main(['score', '--input', {str(path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 66
    assert "needs pyarrow to be " in done.stderr
    assert done.stderr.endswith("; pip install 'textvae[bulk]'\n")


def test_a_file_is_read_without_any_package_of_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\na\n")
    script = (
        "import sys; from textvae.cli.commands import main; "
        f"main(['score', '--input', {str(path)!r}, '--address', '{NOWHERE}']); "
        "print(*sorted({'torch', 'sentencepiece', 'pyarrow', 'tyro'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        ("a dog\r\na cat\r\n", ["a dog", "a cat"]),
        ("a dog\r\r\na cat\r", ["a dog", "a cat"]),
        ("a\rdog\na cat", ["a dog", "a cat"]),
        ("\ufeffa dog\r\n\u2028a cat\n", ["a dog", "\u2028a cat"]),
    ],
    ids=["windows", "doubled", "within", "separators"],
)
def test_a_carriage_return_of_stdin_is_no_text(
    stdin: str, expected: list[str], toy_server: Server
) -> None:
    done = terminal("encode", "--json", "--address", toy_server.address, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["sentence"] for row in lines(done.stdout)] == expected


HEADER = "looks like the header of a table"


@pytest.mark.parametrize(
    ("stdin", "warning"),
    [
        ("text,label\nthe cat sees,a\nthe dog,b\n", HEADER),
        ("id\tutterance\n1\tthe cat\n", HEADER),
        ('"text";"intent"\r\nthe cat;a\r\n', HEADER),
        ("text\nthe cat sees\n", HEADER),
        ('{"text": "the cat"}\n{"text": "the dog"}\n', "looks like an object of JSON"),
        ("hello, world\nthe cat, the dog\n", ""),
        ("date, time\nthe cat sees\n", ""),
        ("the cat\nthe dog\n", ""),
        ("{name} sees the dog\n", ""),
    ],
)
def test_a_table_on_stdin_is_asked_as_sentences_with_a_warning(
    stdin: str, warning: str, toy_server: Server
) -> None:
    done = terminal("encode", "--json", "--address", toy_server.address, stdin=stdin)
    assert done.returncode == 0
    assert len(lines(done.stdout)) == stdin.count("\n")
    assert (warning in done.stderr) if warning else done.stderr == ""
    assert ("--input FILE" in done.stderr) == bool(warning)


def test_a_line_without_an_end_costs_itself(toy_server: Server) -> None:
    stdin = "a dog\n" + "x" * (3 << 20) + "\na cat\n"
    done = terminal("encode", "--json", "--address", toy_server.address, stdin=stdin)
    assert done.returncode == 65
    rows = lines(done.stdout)
    assert [row.get("sentence") for row in rows] == ["a dog", None, "a cat"]
    assert rows[1]["error"] == "must be at most 1048576 bytes; pipe in a sentence a line"
