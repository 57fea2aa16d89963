"""`python -m jobs.generate`: a table of sentences to a table of what a version writes of them."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textvae.config.bulk import BulkConfig
from textvae.config.data import StoreConfig
from textvae.config.serve import ServeConfig
from textvae.errors import InputError
from textvae.options import (
    CLOSENESS_DEFAULT,
    METHOD_DEFAULT,
    PATH_DEFAULT,
    PRIOR_DEFAULT,
    RADIUS_DEFAULT,
    SCALE_DEFAULT,
    Constraints,
    Method,
    Options,
    PathShape,
    Prior,
)
from textvae.ranges import SEED_MAX, check_within

from .command import run_job
from .progress import show_progress
from .tables import Files, run_task

if TYPE_CHECKING:
    from textvae.bulk.tasks import Asked

COUNT_DEFAULT = 5


@dataclass(frozen=True)
class Generate:
    """Writes variations of every row of a table, its reconstruction, a path, or draws of a prior.

    Every other column passes through; a row without a result, or with fewer variations than were
    asked for, says why in the column `error`. Cut off at any point, the same command goes on and
    ends with the same bytes: what is written of a row depends on its number and the seed alone.
    """

    output: Path
    """A .csv, .jsonl or .parquet, or a folder of shards."""
    task: Literal["paraphrase", "sample", "interpolate", "reconstruct"] = "paraphrase"
    """paraphrase, interpolate (from --text-column to --to-column), reconstruct: of each row of
    --input; sample: --count draws of the prior."""
    input: tuple[Path, ...] = ()
    """Files, folders or globs of .txt, .jsonl, .json, .csv, .tsv or .parquet, packed or not."""
    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    format: Literal["", "parquet", "jsonl", "csv"] = ""
    """Format of the output; empty: as its name ends, JSON lines for a folder."""
    text_column: str = "text"
    """Column of the sentence."""
    label_column: str = ""
    """Column of the label; empty: `label` where there is one."""
    group_column: str = ""
    """Column of the group; empty: `group` where there is one."""
    to_column: str = ""
    """Column of the sentence that a path leads to."""
    id_column: str = ""
    """Column of the row's own id, which then stands beside its number."""
    delimiter: str = ""
    """Character between the fields of .csv and .tsv; empty: comma and tab."""
    columns: tuple[str, ...] = ()
    """Columns of the output, in order, as NAME or NAME=AS; none: all of them."""
    drop_errors: bool = False
    """Leave rows without a result out; the report counts them."""
    shard: str = "0/1"
    """Part of the shards to do, I/N with I from 0, such as $JOB_COMPLETION_INDEX/8."""
    count: int = 0
    """Variations of each row, or draws in all; 0: 5 variations, where no quota is given."""
    per_label: int = 0
    """Variations of each label in all, spread over its rows; instead of --count."""
    per_group: int = 0
    """Variations of each group in all, spread over its rows; instead of --count."""
    spare: int = 2
    """Variations of a row beyond those wanted, for where --distinct refuses one."""
    distinct: Literal["auto", "none", "exact", "near"] = "auto"
    """No text twice in the whole output, nor one of the input: to the letter, or near, whatever its
    case, punctuation and digits; auto: exact for variations, none for all else."""
    method: Method = METHOD_DEFAULT
    """How variations are made; auto: rephrase where the version learned from groups, else draw."""
    candidates: int = 4
    """Candidates for each variation, of which the axes choose; 1: none is judged."""
    radius: float = RADIUS_DEFAULT
    """Radius of the draws, in posterior deviations."""
    closeness: float = CLOSENESS_DEFAULT
    """What the choice weighs: 1 is faithful, 0 is free."""
    search_steps: int = 0
    """Steps of a chain with method search; 0: the default."""
    adequacy_min: float = 0.0
    """Least adequacy of a variation, in nats a token; 0: any."""
    fluency_max: float = 0.0
    """Most nats a token of a variation under the language model; 0: any."""
    novelty_min: float = 0.0
    """Least share of new words and pairs of a variation; 0: any."""
    lock: tuple[str, ...] = ()
    """Words or phrases that stay as they are, where a sentence has them."""
    lock_pattern: tuple[str, ...] = ()
    """Regular expressions in RE2's syntax; what they match stays as it is."""
    lock_numbers: bool = False
    """Keep words with digits as they are, and write no other digit."""
    lock_capitalised: bool = False
    """Keep capitalised words as they are, but for the first."""
    ban: tuple[str, ...] = ()
    """Words or phrases that no variation has."""
    characters_min: int = 0
    """Fewest characters of a variation; 0: any."""
    characters_max: int = 0
    """Most characters of a variation; 0: any."""
    temperature: float = 0.0
    """Softmax temperature; 0 takes the likeliest token."""
    top_k: int = 0
    """Draw among the k likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that together have this probability."""
    steps: int = 5
    """Sentences of a path, both ends counted."""
    path: PathShape = PATH_DEFAULT
    """Shape of a path."""
    prior: Prior = PRIOR_DEFAULT
    """Prior of the draws; auto: the fitted one where there is one."""
    scale: float = SCALE_DEFAULT
    """What the distance of a draw from the prior's mean is multiplied by."""
    seed: int = 0
    """Seed of all that is drawn."""
    store: StoreConfig = StoreConfig()
    serve: ServeConfig = ServeConfig()
    bulk: BulkConfig = BulkConfig()


def _check(settings: Generate) -> None:
    """Raise InputError for flags that are outside their range or do not go together."""
    check_within("seed", settings.seed, 0, SEED_MAX)
    check_within("spare", settings.spare, 0, 1000)
    given = [name for name in ("count", "per_label", "per_group") if getattr(settings, name)]
    for name in given:
        check_within(name, getattr(settings, name), 1, 10**9)
    if len(given) > 1:
        raise InputError(given[1], f"must not be given with {given[0]}; leave one out")
    _check_task(settings)


def _check_task(settings: Generate) -> None:
    """Raise InputError for a flag that the task needs, or has no use for."""
    task = settings.task
    if task == "sample" and settings.input:
        raise InputError("input", "must be left out with --task sample, which reads nothing")
    if task == "sample" and not settings.count:
        raise InputError("count", "must be the number of draws with --task sample, 1 or more")
    if task != "sample" and not settings.input:
        raise InputError("input", f"must be given with --task {task}; name a file or a folder")
    if (task == "interpolate") != bool(settings.to_column):
        problem = "must name a column with --task interpolate" + ", and is for that task alone"
        raise InputError("to_column", problem)
    for name in ("per_label", "per_group"):
        if getattr(settings, name) and task != "paraphrase":
            raise InputError(name, f"is for --task paraphrase, not {task}; leave it out")
    if settings.count and task in ("interpolate", "reconstruct"):
        raise InputError("count", f"is not for --task {task}, which gives one; leave it out")


def main(settings: Generate) -> dict[str, Any]:
    """Return outcome `done`, `part` or `up_to_date`, with the report."""
    _check(settings)
    paths = Files(
        settings.input,
        settings.output,
        settings.format,
        "jsonl",
        settings.text_column,
        settings.label_column,
        settings.group_column,
        settings.id_column,
        settings.delimiter,
        settings.columns,
        settings.drop_errors,
        settings.shard,
        settings.count if settings.task == "sample" else 0,
    )
    with show_progress() as on_progress:
        return run_task(asked_of(settings), paths, settings, on_progress)


def asked_of(settings: Generate) -> "Asked":
    """Return what the rows are asked for."""
    from textvae.bulk.tasks import Asked

    has_quota = settings.per_label or settings.per_group
    distinct = settings.distinct
    if distinct == "auto":
        distinct = "exact" if settings.task == "paraphrase" else "none"
    return Asked(
        settings.task,
        settings.seed,
        Options(settings.temperature, settings.top_k, settings.top_p),
        count=0 if has_quota else settings.count or COUNT_DEFAULT,
        per_label=settings.per_label,
        per_group=settings.per_group,
        spare=settings.spare if distinct != "none" or has_quota else 0,
        distinct=distinct,
        method=settings.method,
        candidates=settings.candidates,
        radius=settings.radius,
        closeness=settings.closeness,
        search_steps=settings.search_steps,
        adequacy_min=settings.adequacy_min,
        fluency_max=settings.fluency_max or math.inf,
        novelty_min=settings.novelty_min,
        constraints=_constraints(settings),
        steps=settings.steps,
        path=settings.path,
        target_column=settings.to_column,
        prior=settings.prior,
        scale=settings.scale,
    )


def _constraints(settings: Generate) -> Constraints:
    """Return what variations must hold; a word is a pattern, for not every sentence has it."""
    return Constraints(
        patterns=(*map(_word_pattern, settings.lock), *settings.lock_pattern),
        numbers=settings.lock_numbers,
        capitalised=settings.lock_capitalised,
        banned=settings.ban,
        characters_min=settings.characters_min,
        characters_max=settings.characters_max,
    )


def _word_pattern(word: str) -> str:
    """Return the pattern of a word or phrase that stands by itself."""
    if not word.strip():
        raise InputError("lock", "must not be empty; give a word or a phrase")
    # RE2 has ends of words for the letters of ASCII alone.
    begins, ends = (
        r"\b" if part.isascii() and part.isalnum() else "" for part in word[0] + word[-1]
    )
    return f"{begins}{re.escape(word)}{ends}"


if __name__ == "__main__":
    run_job("generate", Generate, main)
