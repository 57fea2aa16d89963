"""The terminal: `textvae COMMAND`, a table for people or, with --json, an object a line for pipes.

All commands but those of `textvae.cli.programs` are clients of a running server.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from textvae.cli import flags as command_flags
from textvae.cli.lines import as_counted, read_sentences
from textvae.cli.output import Answer, Row, print_json, print_table
from textvae.cli.programs import PROGRAMS
from textvae.client import Client, latent_files, recording
from textvae.client.clients import TARGET, TIMEOUT_S
from textvae.client.results import GeneratedSentence, Variations
from textvae.errors import TextVaeError
from textvae.options import Constraints, Options
from textvae.pipes import discard_stdout, ignore_closed_pipes
from textvae.proxies import proxy_between

_UNJUDGED = ("distance", "log_prob", "tokens", "ended", "similarity", "locks")
"""Columns that a table of judged variations leaves out."""

Run = Callable[[Client, argparse.Namespace], Answer]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return exit code 0, that of the error, or 1.

    1 means that health finds no server, or that replay gets another response.
    """
    # The reader of a pipe may have enough, as in `textvae sample | head`.
    ignore_closed_pipes()
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = argparse.Namespace()
    try:
        flags = _parser().parse_args(words)
        calls: list[recording.Exchange] = []
        with Client(flags.address, flags.timeout, calls.append) as client:
            answer = flags.run(client, flags)
        if getattr(flags, "record", None):
            recording.save(flags.record, calls)
        (print_json if flags.json else print_table)(answer)
        return int(answer.exit_code)
    except TextVaeError as error:
        words = [as_counted(error, flags), *getattr(error, "__notes__", ())]
        print(f"textvae: {'; '.join(words)}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        discard_stdout()
        print(f"textvae: {error}", file=sys.stderr)
        return os.EX_IOERR


def _encode(client: Client, flags: argparse.Namespace) -> Answer:
    sentences = read_sentences(flags)
    encoded = client.encode(sentences, logvar=flags.logvar, samples=flags.samples, seed=flags.seed)
    if flags.output:
        latent_files.save(flags.output, sentences, encoded)
        return Answer([{"file": str(flags.output), "sentences": len(sentences)}], encoded.facts)
    rows: list[Row] = [
        {"sentence": sentence, "mean": mean.tolist()}
        for sentence, mean in zip(sentences, encoded.mean.values, strict=True)
    ]
    for number, row in enumerate(rows):
        if encoded.logvar:
            row["logvar"] = encoded.logvar.values[number].tolist()
        if encoded.samples:
            start = number * flags.samples
            row["samples"] = encoded.samples.values[start : start + flags.samples].tolist()
    return Answer(rows, encoded.facts)


def _decode(client: Client, flags: argparse.Namespace) -> Answer:
    latents = latent_files.load(flags.file, flags.part)
    decoded = client.decode(latents, options=_options(flags), seed=flags.seed)
    return Answer([_row(sentence) for sentence in decoded.sentences], decoded.facts)


def _sample(client: Client, flags: argparse.Namespace) -> Answer:
    sampled = client.sample(
        flags.count,
        prior=flags.prior,
        scale=flags.scale,
        options=_options(flags),
        seed=flags.seed,
    )
    rows = [_row(sentence) | {"prior": sampled.prior} for sentence in sampled.sentences]
    return Answer(rows, sampled.facts)


def _interpolate(client: Client, flags: argparse.Namespace) -> Answer:
    walked = client.interpolate(
        read_sentences(flags),
        flags.steps,
        path=flags.path,
        options=_options(flags),
        seed=flags.seed,
    )
    steps = zip(walked.positions, walked.sentences, strict=True)
    rows = [{"position": position} | _row(sentence) for position, sentence in steps]
    return Answer(rows, walked.facts)


def _paraphrase(client: Client, flags: argparse.Namespace) -> Answer:
    sentences = read_sentences(flags)
    varied = client.paraphrase(
        sentences,
        flags.count,
        radius=flags.radius,
        distinct=flags.distinct,
        options=_options(flags),
        method=flags.method,
        candidates=flags.candidates,
        closeness=flags.closeness,
        adequacy_min=flags.adequacy_min,
        fluency_max=flags.fluency_max,
        novelty_min=flags.novelty_min,
        constraints=_constraints(flags),
        search_steps=flags.search_steps,
        seed=flags.seed,
    )
    rows, missing = list[Row](), list[Row]()
    for sentence, each in zip(sentences, varied.variations, strict=True):
        rows += _variation_rows(sentence, each)
        if each.missing:
            missing.append({"sentence": sentence, "missing": each.missing})
    if flags.json:
        return Answer([*rows, *missing], varied.facts)
    notes = [f"{row['sentence']}: missing for {', '.join(row['missing'])}" for row in missing]
    if any(each.axes for each in varied.variations):  # room for the axes and for the text
        rows = [{name: row[name] for name in row if name not in _UNJUDGED} for row in rows]
    return Answer(rows, varied.facts, notes=notes)


def _constraints(flags: argparse.Namespace) -> Constraints:
    """Return what every variation must hold."""
    return Constraints(
        words=tuple(flags.lock),
        patterns=tuple(flags.lock_pattern),
        slots=not flags.free_slots,
        numbers=flags.lock_numbers,
        capitalised=flags.lock_capitalised,
        banned=tuple(flags.ban),
        characters_min=flags.characters_min,
        characters_max=flags.characters_max,
        keep_case=flags.keep_case,
        keep_final_punctuation=flags.keep_final_punctuation,
    )


def _variation_rows(sentence: str, variations: Variations) -> list[Row]:
    """Return a row per variation, with its axes where it was judged."""
    judged: list[Row] = [axes._asdict() for axes in variations.axes]
    columns = zip(
        variations.sentences,
        judged or [{}] * len(variations.sentences),
        variations.distances,
        strict=True,
    )
    rows: list[Row] = [
        {"sentence": sentence, "distance": distance} | _row(variation) | axes
        for variation, axes, distance in columns
    ]
    locks = [[lock._asdict() for lock in each] for each in variations.locks]
    return [row | ({"locks": own} if own else {}) for row, own in zip(rows, locks, strict=True)]


def _score(client: Client, flags: argparse.Namespace) -> Answer:
    sentences = read_sentences(flags)
    scored = client.score(sentences, importance_samples=flags.importance_samples, seed=flags.seed)
    columns = scored._asdict()
    del columns["facts"]
    rows = [
        {"sentence": sentence} | {name: values[number].item() for name, values in columns.items()}
        for number, sentence in enumerate(sentences)
    ]
    return Answer(rows, scored.facts)


def _replay(client: Client, flags: argparse.Namespace) -> Answer:
    calls = recording.load(flags.file)
    rows: list[Row] = []
    for number, call in enumerate(calls, start=1):
        try:
            differs = client.replay(call)
        except TextVaeError as error:
            error.add_note(f"{flags.file}: call {number} of {len(calls)}, {call.method}")
            raise
        rows.append({"method": call.method, "same": not differs, "differs": ", ".join(differs)})
    return Answer(rows, exit_code=0 if all(row["same"] for row in rows) else 1)


def _info(client: Client, flags: argparse.Namespace) -> Answer:
    info = client.info()
    limits, load = info.limits._asdict(), info.load._asdict()
    facts = info._asdict() | {"limits": limits, "load": load}
    if flags.json:
        return Answer([facts])
    flat = {name: value for name, value in facts.items() if not isinstance(value, dict)}
    return Answer(
        [{"fact": fact, "value": value} for fact, value in (flat | limits | load).items()]
    )


def _health(client: Client, flags: argparse.Namespace) -> Answer:
    serving = client.health()
    status = "SERVING" if serving else "NOT_SERVING"
    proxy = "" if serving else proxy_between(flags.address)
    row = {"address": flags.address, "status": status} | ({"proxy": proxy} if proxy else {})
    return Answer([row], exit_code=0 if serving else 1)


def _row(sentence: GeneratedSentence) -> Row:
    """Return a generated sentence as columns."""
    row = sentence._asdict()
    others = [_row(other) for other in row.pop("alternatives")]
    return {**row, "alternatives": others} if others else row


def _options(flags: argparse.Namespace) -> Options:
    """Return the sampling options of the flags."""
    return Options(**{name: getattr(flags, name) for name in Options._fields})


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands with their flags."""
    parser = argparse.ArgumentParser(prog="textvae", description="A sentence VAE, served.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, program in PROGRAMS.items():
        commands.add_parser(name, help=program.help, add_help=False)

    def add(name: str, run: Run, words: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=words, description=f"{words.capitalize()}.")
        command.set_defaults(run=run)
        command.add_argument("--address", default=TARGET, help="host:port (default %(default)s)")
        command.add_argument(
            "--timeout", type=float, default=TIMEOUT_S, help="seconds a call (default %(default)s)"
        )
        command.add_argument("--json", action="store_true", help="print one JSON object a line")
        return command

    command_flags.encode(add("encode", _encode, "sentences to posteriors"))
    command_flags.decode(add("decode", _decode, "latents of a file to sentences"))
    command_flags.sample(add("sample", _sample, "draws of a prior to sentences"))
    command_flags.interpolate(
        add("interpolate", _interpolate, "sentences on a path through sentences")
    )
    command_flags.paraphrase(add("paraphrase", _paraphrase, "variations of sentences"))
    command_flags.score(add("score", _score, "how likely the model finds sentences, in nats"))
    command_flags.replay(
        add(
            "replay",
            _replay,
            "repeat the calls of a file: exit code 0 if all responses are the same",
        )
    )
    add("info", _info, "the version that serves, its limits and its load")
    add("health", _health, "whether a server serves: exit code 0, else 1")
    return parser


if __name__ == "__main__":
    sys.exit(main())
