"""The flags of the commands on a terminal."""

import argparse
from pathlib import Path
from typing import get_args, get_type_hints

from textvae.client import latent_files
from textvae.options import (
    CANDIDATES_MAX,
    CLOSENESS_DEFAULT,
    DRAW_CANDIDATES,
    IMPORTANCE_SAMPLES_DEFAULT,
    METHOD_DEFAULT,
    PATH_DEFAULT,
    PRIOR_DEFAULT,
    RADIUS_DEFAULT,
    RADIUS_MAX,
    REPHRASE_CANDIDATES,
    SCALE_DEFAULT,
    SEARCH_CANDIDATES,
    SEARCH_STEPS,
    SEARCH_STEPS_MAX,
    Method,
    Options,
    PathShape,
    Prior,
)


def encode(command: argparse.ArgumentParser) -> None:
    """Add the flags of encode."""
    _flag_sentences(command)
    command.add_argument(
        "--output",
        type=Path,
        metavar="FILE.npz",
        help="write latents, sentences and version to this file, whole at the end",
    )
    command.add_argument("--logvar", action="store_true", help="also the log-variances")
    command.add_argument("--samples", type=int, default=0, help="posterior samples a sentence")
    _flag_seed(command)


def decode(command: argparse.ArgumentParser) -> None:
    """Add the flags of decode."""
    command.add_argument("file", type=Path, help=".npz file of textvae encode --output")
    command.add_argument(
        "--part", choices=latent_files.PARTS, default="mean", help="which of its latents"
    )
    _flag_options(command)


def sample(command: argparse.ArgumentParser) -> None:
    """Add the flags of sample."""
    command.add_argument("--count", type=int, default=10, help="sentences")
    command.add_argument(
        "--prior",
        choices=get_args(Prior),
        default=PRIOR_DEFAULT,
        help="auto: fitted where the version has one",
    )
    command.add_argument(
        "--scale", type=float, default=SCALE_DEFAULT, help="factor on the draws' distance, 0 to 10"
    )
    _flag_options(command)


def interpolate(command: argparse.ArgumentParser) -> None:
    """Add the flags of interpolate."""
    _flag_sentences(command)
    command.add_argument("--steps", type=int, default=7, help="sentences, ends counted")
    command.add_argument(
        "--path",
        choices=get_args(PathShape),
        default=PATH_DEFAULT,
        help="straight line or great circle",
    )
    _flag_options(command)


def paraphrase(command: argparse.ArgumentParser) -> None:
    """Add the flags of paraphrase."""
    _flag_sentences(command)
    command.add_argument("--count", type=int, default=5, help="variations a sentence")
    command.add_argument(
        "--radius",
        type=float,
        default=RADIUS_DEFAULT,
        help=f"how far, 0 to {RADIUS_MAX:g} posterior deviations",
    )
    command.add_argument(
        "--distinct",
        action="store_true",
        help="drop duplicates and copies of the sentence; missing ones are reported",
    )
    command.add_argument(
        "--method",
        choices=get_args(Method),
        default=METHOD_DEFAULT,
        help="auto: rephrase where the version learned from groups, else draw; search takes time",
    )
    command.add_argument(
        "--candidates",
        type=int,
        default=0,
        help=f"drawn for each variation, 0 to {CANDIDATES_MAX}; from 2 on the best are chosen; "
        f"0: {REPHRASE_CANDIDATES} to rephrase, {DRAW_CANDIDATES} to draw, {SEARCH_CANDIDATES} to "
        "search",
    )
    command.add_argument(
        "--search-steps",
        type=int,
        default=0,
        help=f"of --method search, 0 to {SEARCH_STEPS_MAX}; 0: {SEARCH_STEPS}",
    )
    _flag_choice(command)
    _flag_constraints(command)
    _flag_options(command)


def _flag_constraints(command: argparse.ArgumentParser) -> None:
    """Add the flags of what every variation must hold."""
    add = command.add_argument_group("what every variation must hold").add_argument
    add(
        "--lock",
        action="append",
        default=[],
        metavar="WORDS",
        help="keep these words as they are; each sentence must have them; may be repeated",
    )
    add(
        "--lock-pattern",
        action="append",
        default=[],
        metavar="REGEX",
        help="keep what an RE2 pattern matches; may be repeated",
    )
    add("--lock-numbers", action="store_true", help="keep words with digits, write no others")
    add("--lock-capitalised", action="store_true", help="keep capitalised words but the first")
    add("--free-slots", action="store_true", help="do not keep names in braces, as {order_id}")
    add(
        "--ban",
        action="append",
        default=[],
        metavar="WORDS",
        help="never write these words; may be repeated",
    )
    add("--characters-min", type=int, default=0, help="fewest characters; 0: any")
    add("--characters-max", type=int, default=0, help="most characters; 0: any")
    add("--keep-case", action="store_true", help="upper and lower case as in the sentence")
    add("--keep-final-punctuation", action="store_true", help="end as the sentence ends")


def score(command: argparse.ArgumentParser) -> None:
    """Add the flags of score."""
    _flag_sentences(command)
    command.add_argument(
        "--importance-samples",
        type=int,
        default=IMPORTANCE_SAMPLES_DEFAULT,
        help="draws a sentence",
    )
    _flag_seed(command)


def replay(command: argparse.ArgumentParser) -> None:
    """Add the flags of replay."""
    command.add_argument("file", type=Path, help="file of --record")


def _flag_choice(command: argparse.ArgumentParser) -> None:
    """Add the flags that say which candidates are chosen."""
    command.add_argument(
        "--closeness",
        type=float,
        default=CLOSENESS_DEFAULT,
        help="of the choice, 0, free of the sentence's words, to 1, faithful",
    )
    command.add_argument(
        "--adequacy-min", type=float, default=0.0, help="least adequacy, nats a token; 0: any"
    )
    command.add_argument("--fluency-max", type=float, help="most fluency nats a token; unset: any")
    command.add_argument(
        "--novelty-min",
        type=float,
        default=0.0,
        help="least share of new words and pairs of words, 0 to 1; 0: any",
    )


def _flag_sentences(command: argparse.ArgumentParser) -> None:
    """Add the sentences and the flags of where they are from."""
    command.add_argument(
        "sentences", nargs="*", metavar="SENTENCE", help="a sentence; none: one a line of stdin"
    )
    add = command.add_argument_group("sentences from elsewhere").add_argument
    add(
        "--input",
        type=Path,
        metavar="FILE",
        help="a file of sentences: .txt, .csv, .tsv, .jsonl, .json or .parquet, also .gz or .zst",
    )
    add("--text-column", metavar="NAME", help="column or key of the sentences (default text)")
    add(
        "--delimiter",
        metavar="CHARACTER",
        help="between the fields of .csv and .tsv (default comma or tab, by the file's name)",
    )
    add("--skip-blank", action="store_true", help="leave out blank lines and rows")


def _flag_seed(command: argparse.ArgumentParser) -> None:
    """Add the flags of what makes an answer again."""
    command.add_argument(
        "--seed", type=int, help="seed of all draws (default one drawn at the start)"
    )
    command.add_argument(
        "--record", type=Path, metavar="FILE", help="write requests and responses, for replay"
    )


def _flag_options(command: argparse.ArgumentParser) -> None:
    """Add a flag for each sampling option, and those of `_flag_seed`."""
    defaults = Options()
    for name, hint in get_type_hints(Options, include_extras=True).items():
        kind, words = get_args(hint)
        flag, default = f"--{name.replace('_', '-')}", getattr(defaults, name)
        command.add_argument(flag, type=kind, default=default, help=words)
    _flag_seed(command)
