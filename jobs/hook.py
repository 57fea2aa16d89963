"""The nightly run's hook: a command of the owner's that gets every result."""

import json
import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from textvae.config.nightly import NightlyConfig

log = logging.getLogger(__name__)


def run_hook(config: NightlyConfig, result: Mapping[str, Any]) -> str:
    """Run the hook on the result; return its problem, or nothing where it succeeded."""
    if not config.hook.strip():
        return ""
    problem = _problem(config, json.dumps(result, sort_keys=True))
    if problem:
        log.error("night.hook %s: %s", problem, config.hook)
    return problem


def _problem(config: NightlyConfig, line: str) -> str:
    """Return how the hook failed; empty where it did not."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the command is the owner's
            shlex.split(config.hook),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            # A group of its own, so that what it has started ends with it.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return (
            f"could not be started: {error}; it is a program and its arguments, no line of a "
            "shell, which would be sh -c '...'"
        )
    try:
        process.communicate(line, timeout=config.hook_timeout_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"took more than {config.hook_timeout_s:g} s and was killed"
    except KeyboardInterrupt:
        _kill(process)
        return "was killed, for this run was told to end"
    return f"ended with exit code {process.returncode}" if process.returncode else ""


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the hook and all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()
