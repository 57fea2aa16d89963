"""The flags of the terminal's commands."""

import argparse
from pathlib import Path

from textvae.client import latent_files
from textvae.options import Options


def encode(command: argparse.ArgumentParser) -> None:
    """Of sentences to posteriors."""
    _flag_sentences(command)
    command.add_argument("--output", type=Path, help="write latents and version to this .npz file")
    command.add_argument("--logvar", action="store_true", help="also the log-variances")
    command.add_argument("--samples", type=int, default=0, help="posterior samples a sentence")
    _flag_seed(command)


def decode(command: argparse.ArgumentParser) -> None:
    """Of latents to sentences."""
    command.add_argument("file", type=Path, help=".npz file of textvae encode --output")
    command.add_argument(
        "--part", choices=latent_files.PARTS, default="mean", help="which latents of it"
    )
    _flag_options(command)


def sample(command: argparse.ArgumentParser) -> None:
    """Of draws."""
    command.add_argument("--count", type=int, default=10, help="sentences (default %(default)s)")
    priors = ("auto", "standard", "fitted")
    command.add_argument(
        "--prior", choices=priors, default="auto", help="auto: fitted where the version has one"
    )
    command.add_argument("--scale", type=float, default=1.0, help="factor on the draws' distance")
    _flag_options(command)


def interpolate(command: argparse.ArgumentParser) -> None:
    """Of a path."""
    _flag_sentences(command)
    command.add_argument(
        "--steps", type=int, default=7, help="sentences, ends counted (default %(default)s)"
    )
    command.add_argument(
        "--path", choices=("lerp", "slerp"), default="lerp", help="straight line or great circle"
    )
    _flag_options(command)


def paraphrase(command: argparse.ArgumentParser) -> None:
    """Of variations."""
    _flag_sentences(command)
    command.add_argument(
        "--count", type=int, default=5, help="variations a sentence (default %(default)s)"
    )
    command.add_argument(
        "--radius", type=float, default=1.0, help="how far, 0 to 10 posterior deviations"
    )
    command.add_argument(
        "--distinct", action="store_true", help="leave out repeats and the sentence"
    )
    _flag_options(command)


def score(command: argparse.ArgumentParser) -> None:
    """Of likelihoods."""
    _flag_sentences(command)
    command.add_argument(
        "--importance-samples", type=int, default=100, help="draws a sentence (default %(default)s)"
    )
    _flag_seed(command)


def replay(command: argparse.ArgumentParser) -> None:
    """Of calls asked again."""
    command.add_argument("file", type=Path, help="file of --record")


def _flag_sentences(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "sentences", nargs="*", metavar="SENTENCE", help="a sentence; none: one a line of stdin"
    )


def _flag_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--seed", type=int, help="seed of all draws; the server's choice if left out"
    )
    command.add_argument(
        "--record", type=Path, help="write what was asked and answered to this file, for replay"
    )


def _flag_options(command: argparse.ArgumentParser) -> None:
    """The flags of how to write."""
    none = Options()
    command.add_argument(
        "--temperature", type=float, default=none.temperature, help="0 to 10; 0 is greedy"
    )
    command.add_argument(
        "--top-k", type=int, default=none.top_k, help="draw among so many likeliest tokens; 0: all"
    )
    command.add_argument(
        "--top-p",
        type=float,
        default=none.top_p,
        help="draw among the likeliest of this mass, to 1",
    )
    command.add_argument(
        "--min-p",
        type=float,
        default=none.min_p,
        help="draw among tokens at least this times as probable as the likeliest",
    )
    command.add_argument(
        "--no-repeat",
        type=int,
        default=none.no_repeat,
        help="never write a run of so many tokens twice in a sentence; 0: no guard",
    )
    command.add_argument(
        "--beam", type=int, default=none.beam, help="hypotheses of a beam search, to 8; 0: none"
    )
    command.add_argument(
        "--alternatives",
        type=int,
        default=none.alternatives,
        help="other sentences of the beam to show, below --beam",
    )
    command.add_argument(
        "--tokens-max", type=int, default=none.tokens_max, help="most tokens; 0 is the server's"
    )
    _flag_seed(command)
