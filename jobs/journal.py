"""The journal of a piece of work in stages: what is done already is not done again.

One file, whole after each stage. Work that was cut off goes on at its first stage without a record;
work that has ended leaves a line in a log beside the journal, and the next begins a new journal.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textvae import files

FORMAT = 1


def _always(_: Any) -> bool:
    """A record that holds for as long as the work goes on."""
    return True


class Journal:
    """The stages of the work in hand; one process at a time may have it open."""

    def __init__(self, path: Path, now: Callable[[], str]) -> None:
        """Goes on with the journal at `path`, or begins it; `now` gives the time for people.

        A journal that cannot be read is begun anew: every stage can be done again.
        """
        self._path, self._now = path, now
        new: dict[str, Any] = {"format": FORMAT, "began": now(), "stages": [], "seconds": {}}
        self._content = _read(path) or new

    @property
    def stages(self) -> list[str]:
        """The stages that are done, in their order."""
        return [stage for stage, _ in self._content["stages"]]

    @property
    def seconds(self) -> dict[str, float]:
        """What each stage that is done took, to a hundredth, in the try that did it."""
        return dict(self._content["seconds"])

    def record(self, stage: str) -> dict[str, Any]:
        """What a stage that is done has left."""
        return dict(dict(self._content["stages"])[stage])

    def once(
        self,
        stage: str,
        work: Callable[[], dict[str, Any]],
        holds: Callable[[dict[str, Any]], bool] = _always,
    ) -> dict[str, Any]:
        """The record of a stage: that of an earlier try where it still `holds`, else of `work`.

        Where it no longer holds, the records of all later stages are forgotten with it.
        """
        records, at = dict(self._content["stages"]), len(self.stages)
        if stage in records:
            if holds(records[stage]):
                return dict(records[stage])
            at = self.stages.index(stage)
        began_s = time.monotonic()
        record = work()
        took_s = round(time.monotonic() - began_s, 2)
        kept = self._content["stages"][:at]
        # A list, since canonical JSON sorts the names of a mapping.
        self._content["stages"] = [*kept, [stage, record]]
        seconds = {name: self._content["seconds"][name] for name, _ in kept}
        self._content["seconds"] = {**seconds, stage: took_s}
        files.write_json(self._path, self._content)
        return record

    def end(self, result: dict[str, Any]) -> None:
        """The work is over: a line in the log beside, and a journal that nobody goes on with."""
        ended = self._now()
        times = {"began": self._content["began"], "ended": ended, "seconds": self.seconds}
        line = {**times, **result}
        files.append_line(self._path.with_suffix(".log.jsonl"), json.dumps(line, sort_keys=True))
        files.write_json(self._path, {**self._content, "ended": ended})


def _read(path: Path) -> dict[str, Any] | None:
    """The journal of work that was cut off; None where there is none to go on with."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT or "ended" in found:
        return None
    kinds = {"began": str, "stages": list, "seconds": dict}
    whole = all(isinstance(found.get(name), kind) for name, kind in kinds.items())
    return found if whole else None
