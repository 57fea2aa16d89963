"""The nightly run: reported to its hook, never two at once, resumed where it was cut off."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.job_runs import MODEL, NIGHTLY_CONFIG, ROOT, prepared, ran, ran_job
from tests.serving import put_in_service
from textvae import files, locks
from textvae.corpus.spans import list_spans
from textvae.corpus.toy_grammar import sample
from textvae.store.promotions import current_promotion, promote, promotion_history
from textvae.store.versions import list_versions, open_version

HOOK = """
import json, sys
result = json.load(sys.stdin)
with open("results.jsonl", "a") as stream:
    print(json.dumps(result), file=stream)
raise SystemExit(%d)
"""


def folder_with_hook(tmp_path: Path, code: int = 0, settings: str = NIGHTLY_CONFIG) -> Path:
    """The folder of a nightly run, whose hook saves each result and ends with `code`."""
    settings += f'hook = "{sys.executable} hook.py"\n'
    folder = prepared(tmp_path / "jobs", settings)
    (folder / "hook.py").write_text(HOOK % code)
    return folder


def hook_results(folder: Path) -> list[dict[str, Any]]:
    """The results that the hook received."""
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def more_text(folder: Path) -> None:
    """Another day's text in the inbox."""
    texts = [row.text for row in sample(900, seed=7)]
    (folder / "inbox" / "more.txt").write_text("\n".join(texts) + "\n")


def killed_when(folder: Path, glob: str, holding: str = "", *flags: str) -> None:
    """A nightly run that is killed as soon as there is a file like this that holds this."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.nightly", "--config", "toy.toml", *flags],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 100
    while not any(path.is_dir() or holding in path.read_text() for path in folder.glob(glob)):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end, f"nothing like {glob}"
        time.sleep(0.002)
    process.kill()
    process.wait()


def test_the_hook_receives_every_result_as_it_stands_in_the_file(tmp_path: Path) -> None:
    folder = folder_with_hook(tmp_path)
    lines = [ran_job(folder, "nightly").line for _ in range(2)]
    (folder / "inbox" / "toy.txt").unlink()
    (folder / "inbox").rmdir()
    lines.append(ran_job(folder, "nightly").line)
    assert [line["outcome"] for line in lines] == ["promoted", "up_to_date", "failed"]
    assert hook_results(folder) == lines


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        (f"{sys.executable} hook.py", "ended with exit code 3"),
        ("no-such-program --flag", "could not be started"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "took more than 0.5 s"),
    ],
)
def test_a_hook_that_fails_is_in_the_result_and_changes_nothing_else(
    tmp_path: Path, hook: str, problem: str
) -> None:
    settings = NIGHTLY_CONFIG + f"hook_timeout_s = 0.5\nhook = {json.dumps(hook)}\n"
    if "hook.py" in hook:
        settings = settings.replace("0.5", "30")
    folder = prepared(tmp_path / "jobs", settings)
    (folder / "hook.py").write_text(HOOK % 3)
    (folder / "inbox" / "toy.txt").write_text("one sentence alone\n")
    line = ran_job(folder, "nightly").line
    assert (line["exit_code"], line["outcome"]) == (65, "failed")
    assert problem in line["hook"]


def test_a_second_nightly_run_names_the_first_and_leaves_its_result_alone(
    tmp_path: Path,
) -> None:
    """Before anything heavy is imported, and its hook hears of it."""
    folder = folder_with_hook(tmp_path)
    result = folder / "runs" / "nightly" / "result.json"
    files.write_json(result, {"outcome": "of the other"})
    with locks.hold_lock(folder / "runs" / "nightly.lock", "nightly"):
        ended = ran(folder, "jobs.nightly", "--config", "toy.toml", "--result", str(result))
    assert (ended.code, ended.line["kind"]) == (75, "BusyError")
    assert f"nightly (pid {os.getpid()} on " in ended.line["error"]
    assert json.loads(result.read_bytes()) == {"outcome": "of the other"}
    assert hook_results(folder) == [ended.line]
    assert not (folder / "spans").exists()


def test_a_nightly_run_that_finds_another_imports_no_torch() -> None:
    code = "import sys, jobs.nightly; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_nightly_run_that_was_cut_off_ends_with_the_text_it_began_with(tmp_path: Path) -> None:
    """New text waits for the next nightly run; what was trained is not trained again."""
    folder = prepared(tmp_path / "jobs", NIGHTLY_CONFIG)
    killed_when(folder, "registry/toy/attachments/*/prior")
    trained = list_versions(folder / "registry", MODEL)
    assert len(trained) == 1
    more_text(folder)
    line = ran_job(folder, "nightly").line
    assert (line["outcome"], line["version"]) == ("promoted", trained[0])
    assert line["done_before"][:2] == ["ingest", "train"]
    assert len(list_spans(folder / "spans")) == 1
    line = ran_job(folder, "nightly").line
    assert (line["outcome"], line["done_before"]) == ("promoted", [])
    assert (line["start"], line["pruned"]) == ("fresh", [])
    assert len(list_spans(folder / "spans")) == 2
    assert [one.version for one in promotion_history(folder / "registry", MODEL)] == [
        trained[0],
        line["version"],
    ]


def test_a_nightly_run_that_was_cut_off_just_after_it_promoted_promotes_once(
    tmp_path: Path,
) -> None:
    folder = prepared(tmp_path / "jobs", NIGHTLY_CONFIG)
    killed_when(folder, "registry/toy/promotions/000001.json")
    line = ran_job(folder, "nightly").line
    assert line["outcome"] == "promoted"
    assert len(promotion_history(folder / "registry", MODEL)) == 1
    assert ran_job(folder, "nightly").line["outcome"] == "up_to_date"


def test_a_version_is_judged_anew_where_the_champion_moved(tmp_path: Path) -> None:
    """As where somebody promoted or rolled back by hand while the nightly run was cut off."""
    folder = prepared(tmp_path / "jobs", NIGHTLY_CONFIG)
    first = ran_job(folder, "nightly").line["version"]
    more_text(folder)
    # It was judged against promotion 1 and is asking the real server when it dies.
    judged = '"promotion": 1'
    killed_when(folder, "runs/nightly/journal.json", judged, "--night.ask-server")
    registry = folder / "registry"
    put_in_service(registry, open_version(registry, MODEL, first))
    line = ran_job(folder, "nightly").line
    assert (line["outcome"], line["promotion"]["number"]) == ("promoted", 3)
    second = line["version"]
    against = sorted((registry / MODEL / "attachments" / second).glob("gate-*"))
    assert [path.name[:11] for path in against] == ["gate-000001", "gate-000002"]


def test_a_version_that_was_no_better_is_judged_again_once_the_champion_is_old(
    tmp_path: Path,
) -> None:
    """Two sentences show no difference. It is not trained again, and a worse one stays out."""
    settings = NIGHTLY_CONFIG.replace("champion_days_max = 0.0", "champion_days_max = 1e5")
    folder = prepared(tmp_path / "jobs", settings.replace("[gate]", "[gate]\nsentences = 2"))
    registry = folder / "registry"
    first = open_version(registry, MODEL, ran_job(folder, "nightly").line["version"])
    old = {"reason": "test", "actor": "test", "at": "2020-01-01T00:00:00Z"}
    promote(registry, MODEL, first, expected=1, **old)
    more_text(folder)
    line = ran_job(folder, "nightly").line
    second = line["version"]
    assert (line["outcome"], len(line["reasons"])) == ("rejected", 1)
    assert "it is not shown to be better on the newest text" in line["reasons"][0]
    assert ran_job(folder, "nightly").line["outcome"] == "up_to_date"
    assert ran_job(folder, "nightly", "--gate.champion-days-max", "9e4").line["outcome"] == (
        "up_to_date"
    )
    learned = {path: path.read_bytes() for path in folder.glob("runs/*/metrics.jsonl")}
    line = ran_job(folder, "nightly", "--gate.champion-days-max", "1000").line
    assert (line["outcome"], line["version"]) == ("promoted", second)
    assert {path: path.read_bytes() for path in folder.glob("runs/*/metrics.jsonl")} == learned
    assert list_versions(registry, MODEL) == [second, first.name]


def test_a_version_that_a_real_server_cannot_serve_is_rejected(tmp_path: Path) -> None:
    settings = NIGHTLY_CONFIG.replace("ask_server = false", "start_timeout_s = 0.01")
    folder = prepared(tmp_path / "jobs", settings)
    line = ran_job(folder, "nightly").line
    assert line["outcome"] == "rejected"
    assert line["reasons"] == [f"{line['version']}: its server is not ready after 0.01 s"]
    assert current_promotion(folder / "registry", MODEL) is None


def test_a_version_that_a_real_server_serves_is_promoted(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "jobs", NIGHTLY_CONFIG.replace("ask_server = false", ""))
    line = ran_job(folder, "nightly").line
    assert line["outcome"] == "promoted"
    journal = json.loads((folder / "runs/nightly/journal.json").read_bytes())
    stages = dict(journal["stages"])
    wanted = ["ingest", "train", "evaluate", "ask-server", "promote", "report", "prune"]
    assert list(stages) == wanted
    assert sorted(line["seconds"]) == sorted(wanted)
    assert line["seconds"]["train"] > line["seconds"]["promote"]
    assert stages["ask-server"]["faults"] == []
    assert set(stages["ask-server"]["took_ms"]) == {
        *("start", "health", "GetServerInfo", "ListModels", "GetModel"),
        *("Encode", "Decode", "Sample", "Interpolate", "Paraphrase", "Score"),
    }


def test_a_nightly_run_that_failed_by_itself_is_over(tmp_path: Path) -> None:
    """The next one begins with the text of its day; the log next to the journal has both."""
    folder = prepared(tmp_path / "jobs", NIGHTLY_CONFIG)
    good = (folder / "inbox" / "toy.txt").read_text()
    (folder / "inbox" / "toy.txt").write_text("one sentence alone\n")
    assert ran_job(folder, "nightly").code == 65
    (folder / "inbox" / "toy.txt").write_text(good)
    line = ran_job(folder, "nightly").line
    assert (line["outcome"], line["done_before"]) == ("promoted", [])
    log = (folder / "runs/nightly/journal.log.jsonl").read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in log] == ["failed", "promoted"]
