"""`make test-extras` must not pass on tests that did not run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("def test_one(): pass", 0, ""),
        ("@pytest.mark.xfail\ndef test_one(): assert 0", 0, ""),
        ("def test_one(): pytest.skip('no parquet')", 1, "test_it.py::test_one: Skipped: no pa"),
        ("pytest.importorskip('no_such_thing')\ndef test_one(): pass", 1, "'no_such_thing'"),
        ("@pytest.mark.skip(reason='of a mark')\ndef test_one(): pass", 1, "of a mark"),
    ],
)
def test_a_skip_fails_the_run_and_its_reason_is_shown(
    tmp_path: Path, body: str, code: int, said: str
) -> None:
    (tmp_path / "test_it.py").write_text(f"import pytest\n{body}\ndef test_other(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.no_skips", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout
    assert ("which fails this run" in done.stdout) == bool(code)
