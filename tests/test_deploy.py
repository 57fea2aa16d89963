"""The deployment files: valid by their schemas, true to the commands and exit codes of the jobs."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs import command, nightly
from textvae import errors
from textvae.config.serve import ServeConfig
from textvae.settings import read_toml

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "jobs/deploy"
UNITS = ["textvae-nightly.service", "textvae-nightly.timer", "textvae-serve.service"]
SERVICES = [name for name in UNITS if name.endswith(".service")]

KUBERNETES = "1.33"
"""The version of the schema; timeZone and podFailurePolicy are in all from 1.31 on."""

SYSTEMD = {
    "Unit": "Description RequiresMountsFor StartLimitIntervalSec StartLimitBurst OnFailure",
    "Service": (
        "Type User Group StateDirectory WorkingDirectory Environment ExecStart Restart RestartSec "
        "RestartForceExitStatus RestartPreventExitStatus SuccessExitStatus "
        "TimeoutStopSec KillMode Nice NoNewPrivileges ProtectSystem ProtectHome PrivateTmp"
    ),
    "Timer": "OnCalendar RandomizedDelaySec Persistent",
    "Install": "WantedBy",
}
"""Of the keys that systemd 252 knows, those that a unit of ours may use, by section."""

AGAIN = {errors.BusyError.exit_code, command._DISK}
"""Exit codes of which the same command may make something else."""
NEVER_AGAIN = {
    command._BUG,
    *(
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.TextVaeError)
    ),
} - AGAIN


def unit(name: str) -> configparser.ConfigParser:
    """A unit's sections and keys, as in its file."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((DEPLOY / name).read_text(encoding="utf-8"))
    return parser


def documents() -> dict[str, dict[str, Any]]:
    """The documents of cronjob.yaml by kind."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; make .venv/dev")
    text = (DEPLOY / "cronjob.yaml").read_text(encoding="utf-8")
    documents = list(yaml.safe_load_all(text))
    assert len({one["kind"] for one in documents}) == len(documents) == 3
    return {one["kind"]: one for one in documents}


def job() -> dict[str, Any]:
    """The spec of the job that the CronJob makes for each nightly run."""
    spec: dict[str, Any] = documents()["CronJob"]["spec"]["jobTemplate"]["spec"]
    return spec


def codes(text: str) -> set[int]:
    """Exit codes as a unit lists them."""
    return set(map(int, text.split()))


def commands() -> dict[str, list[str]]:
    """What each unit starts, from `textvae` on."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    crontab = (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines()[-1]
    [container] = job()["template"]["spec"]["containers"]
    return {
        "cronjob.yaml": container["command"],
        "Dockerfile": re.findall(r'"([^"]*)"', dockerfile.splitlines()[-1]),
        "crontab": shlex.split(crontab.partition("&& ")[2].partition(" >>")[0]),
        **{name: shlex.split(unit(name)["Service"]["ExecStart"]) for name in SERVICES},
    }


def test_the_cron_job_passes_the_schema_of_kubernetes() -> None:
    reason = "kubernetes-validate is not installed; make .venv/dev"
    schema = pytest.importorskip("kubernetes_validate", reason=reason)
    for document in documents().values():
        schema.validate(document, KUBERNETES, strict=True)
    wrong = documents()["CronJob"]
    wrong["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][0]["onExitCode"] = {}
    with pytest.raises(schema.ValidationError):
        schema.validate(wrong, KUBERNETES, strict=True)


def test_the_cron_job_repeats_what_may_end_otherwise_and_nothing_else() -> None:
    policy = job()["podFailurePolicy"]["rules"]
    by_action = {rule["action"]: rule for rule in policy}
    assert set(by_action["FailJob"]["onExitCodes"]["values"]) == NEVER_AGAIN
    assert set(by_action["Count"]["onExitCodes"]["values"]) == AGAIN
    assert by_action["Ignore"]["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert job()["backoffLimit"] > 0
    pod = job()["template"]["spec"]
    # A policy on exit codes is refused with any other.
    assert pod["restartPolicy"] == "Never"
    [container] = pod["containers"]
    named = {rule["onExitCodes"]["containerName"] for rule in policy if "onExitCodes" in rule}
    assert named == {container["name"]}


def test_the_cron_job_starts_one_nightly_run_at_a_time_and_catches_up() -> None:
    spec = documents()["CronJob"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    # Kubernetes gives up on a schedule that missed 100 starts, unless it has a deadline.
    assert 600 <= spec["startingDeadlineSeconds"] < 86400
    assert len(spec["schedule"].split()) == 5
    assert spec["timeZone"] == "Etc/UTC"
    assert job()["activeDeadlineSeconds"] < 86400


def test_the_cron_job_keeps_registry_spans_and_runs_on_a_volume() -> None:
    pod = job()["template"]["spec"]
    [container] = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claim = volumes[mounts[container["workingDir"]]]["persistentVolumeClaim"]["claimName"]
    assert claim == documents()["PersistentVolumeClaim"]["metadata"]["name"]
    settings = volumes[mounts[str(Path(container["command"][-1]).parent)]]["configMap"]["name"]
    assert settings == documents()["ConfigMap"]["metadata"]["name"]
    assert set(mounts.values()) == set(volumes)
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_the_settings_in_the_cron_job_are_settings(tmp_path: Path) -> None:
    [(name, text)] = documents()["ConfigMap"]["data"].items()
    (tmp_path / name).write_text(text, encoding="utf-8")
    sections = read_toml(tmp_path / name)
    assert not sections["store"].registry.is_absolute(), "it would lie outside the volume"
    assert commands()["cronjob.yaml"][-1].endswith(f"/{name}")


def test_every_unit_starts_a_command_that_there_is(tmp_path: Path) -> None:
    """In an empty folder: where the flags parse, the command finds nothing to work on."""
    (tmp_path / "nightly.toml").touch()
    started = set()
    for name, (program, *words) in commands().items():
        assert Path(program).name == "textvae"
        assert words[0] == ("serve" if "serve" in name else "job")
        started.add(tuple(word.removeprefix("/etc/textvae/") for word in words))
    wanted = {"serve": errors.NotFoundError, "job": errors.InputError}
    for words in started:
        done = subprocess.run(
            [sys.executable, "-m", "textvae.cli", *words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == wanted[words[0]].exit_code, done.stderr
        assert "unrecognized" not in done.stderr.lower()
    config = ("--config", "nightly.toml")
    assert started == {("serve", *config), ("job", "nightly", *config)}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_keys_that_systemd_knows(name: str) -> None:
    sections = unit(name)
    unknown = {
        f"{section}.{key}"
        for section in sections.sections()
        for key in sections[section]
        if key not in SYSTEMD.get(section, "").split()
    }
    assert unknown == set()
    assert sections["Unit"]["Description"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_units_pass_systemd_s_own_check(tmp_path: Path) -> None:
    for name in UNITS:
        text = (DEPLOY / name).read_text(encoding="utf-8")
        # It checks that the program exists, and here another python does.
        (tmp_path / name).write_text(text.replace("/opt/textvae/bin/textvae", sys.executable))

    def complaints() -> str:
        command = [
            "systemd-analyze",
            "verify",
            "--man=no",
            *(str(tmp_path / name) for name in UNITS),
        ]
        output = subprocess.run(command, capture_output=True, text=True).stderr
        # The machine's own units may have faults of theirs.
        return "\n".join(line for line in output.splitlines() if "textvae" in line)

    assert complaints() == ""
    with (tmp_path / UNITS[0]).open("a") as stream:
        stream.write("[Service]\nRestartPrevent=1\n")
    assert "RestartPrevent" in complaints()


def test_the_nightly_service_repeats_what_may_end_otherwise_and_nothing_else() -> None:
    service = unit("textvae-nightly.service")["Service"]
    assert service["Type"] == "exec", "systemd repeats no oneshot by its exit code"
    assert codes(service["RestartForceExitStatus"]) == AGAIN
    assert codes(service["RestartPreventExitStatus"]) == NEVER_AGAIN
    assert codes(service["SuccessExitStatus"]) == {errors.BusyError.exit_code}
    server = unit("textvae-serve.service")["Service"]
    assert codes(server["RestartPreventExitStatus"]) == {errors.InputError.exit_code}


def test_every_unit_leaves_time_to_save_and_to_drain() -> None:
    checkpoint_s = nightly.Nightly().training.checkpoint_s
    nightly_s = int(unit("textvae-nightly.service")["Service"]["TimeoutStopSec"])
    assert nightly_s > checkpoint_s
    assert job()["template"]["spec"]["terminationGracePeriodSeconds"] > checkpoint_s
    serve_s = int(unit("textvae-serve.service")["Service"]["TimeoutStopSec"])
    assert serve_s > ServeConfig().drain_s + 1


def test_the_timer_starts_the_nightly_run_and_catches_up() -> None:
    timer = unit("textvae-nightly.timer")
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Timer"]["RandomizedDelaySec"]
    # Without a Unit of its own a timer starts the service of its name.
    assert "Unit" not in timer["Timer"]
    assert (DEPLOY / "textvae-nightly.service").exists()


def test_the_dockerfile_copies_what_there_is_installs_the_lock_and_runs_as_nobody_s_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    paths = [path for line in copied for path in line if not path.startswith(("-", "/"))]
    assert {"constraints.txt", "setup.py", "textvae", "jobs", "protos"} <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert text.count("FROM python:3.11-slim") == text.count("FROM ") == 2
    assert "--constraint constraints.txt" in text
    user = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)[-1]
    security = job()["template"]["spec"]["securityContext"]
    assert (int(user[0]), int(user[1])) == (security["runAsUser"], security["runAsGroup"])
    assert not re.search(r"https?://|TOKEN|PASSWORD", text)


def test_the_crontab_has_one_line_of_five_times_and_a_command() -> None:
    lines = (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines()
    [line] = [line for line in lines if not line.startswith("#")]
    assert re.match(r"(\d+|\*) (\d+|\*) \* \* \* cd ", line)
    # Cron would take it for the end of the line.
    assert "%" not in line
