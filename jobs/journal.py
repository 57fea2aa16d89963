"""The journal of work in stages: a stage that is done is not done again.

One file, complete after each stage. Interrupted work resumes at its first stage without a record;
finished work leaves a line in a log next to the journal, and the next work begins a new journal.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textvae import files

FORMAT = 1


def _always(_: Any) -> bool:
    """Return True: the record is valid for as long as the work goes on."""
    return True


class Journal:
    """The stages of the current work; one process at a time may have it open."""

    def __init__(self, path: Path, now: Callable[[], str]) -> None:
        """Open the journal at `path`, or begin it; `now` gives the time for people.

        An unreadable journal is begun anew: every stage can be done again.
        """
        self._path, self._now = path, now
        new: dict[str, Any] = {"format": FORMAT, "began": now(), "stages": [], "seconds": {}}
        self._content = _read(path) or new

    @property
    def stages(self) -> list[str]:
        """Return the stages that are done, in order."""
        return [stage for stage, _ in self._content["stages"]]

    @property
    def seconds(self) -> dict[str, float]:
        """Return the seconds, to a hundredth, that each finished stage took in its last run."""
        return dict(self._content["seconds"])

    def record(self, stage: str) -> dict[str, Any]:
        """Return the record of a finished stage."""
        return dict(dict(self._content["stages"])[stage])

    def once(
        self,
        stage: str,
        work: Callable[[], dict[str, Any]],
        is_valid: Callable[[dict[str, Any]], bool] = _always,
    ) -> dict[str, Any]:
        """Return the record of a stage: an earlier one where it `is_valid`, else that of `work`.

        With a record that is no longer valid the records of all later stages are dropped.
        """
        records, at = dict(self._content["stages"]), len(self.stages)
        if stage in records:
            if is_valid(records[stage]):
                return dict(records[stage])
            at = self.stages.index(stage)
        began_s = time.monotonic()
        record = work()
        took_s = round(time.monotonic() - began_s, 2)
        earlier = self._content["stages"][:at]
        # A list, since canonical JSON sorts the names of a mapping.
        self._content["stages"] = [*earlier, [stage, record]]
        seconds = {name: self._content["seconds"][name] for name, _ in earlier}
        self._content["seconds"] = {**seconds, stage: took_s}
        files.write_json(self._path, self._content)
        return record

    def end(self, result: dict[str, Any]) -> None:
        """End the work: append a line to the log, and close the journal for good."""
        ended = self._now()
        times = {"began": self._content["began"], "ended": ended, "seconds": self.seconds}
        line = {**times, **result}
        files.append_line(self._path.with_suffix(".log.jsonl"), json.dumps(line, sort_keys=True))
        files.write_json(self._path, {**self._content, "ended": ended})


def _read(path: Path) -> dict[str, Any] | None:
    """Return the journal of interrupted work; None where there is none to resume."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT or "ended" in content:
        return None
    kinds = {"began": str, "stages": list, "seconds": dict}
    valid = all(isinstance(content.get(name), kind) for name, kind in kinds.items())
    return content if valid else None
