"""The terminal: `textvae COMMAND`, a table for people or, with --json, an object a line for pipes.

All commands but `completion` and those of `textvae.cli.programs` are clients of a running server.
"""

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence

from textvae.cli import completion, verbs
from textvae.cli.interrupts import Interrupted, Interrupts
from textvae.cli.items import source_of
from textvae.cli.lines import all_sentences, as_counted, sentence_source
from textvae.cli.output import Answer, Row, print_json, print_table, table_rows
from textvae.cli.parser import parser
from textvae.cli.programs import PROGRAMS, run_program
from textvae.cli.runs import run, waiting
from textvae.cli.stream import PAUSE_S
from textvae.client import Client, recording
from textvae.client.addresses import VARIABLE, checked_target, default_target
from textvae.errors import InputError, TextVaeError, UnavailableError
from textvae.pipes import discard_stdout, ignore_closed_pipes
from textvae.proxies import proxy_between

Command = Callable[[Client, argparse.Namespace, Interrupts], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return exit code 0, that of the error, or 1.

    1 means that health finds no server, or that replay gets another response; 65 that some lines
    failed; 130 and 143 that a signal ended it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in PROGRAMS:
        return run_program(words)
    # The reader of a pipe may have enough, as in `textvae sample | head`.
    ignore_closed_pipes()
    flags = argparse.Namespace()
    try:
        flags = parser().parse_args(words)
        if flags.command == "completion":
            sys.stdout.write(completion.script(flags.shell, parser()))
            return 0
        with Interrupts().caught() as interrupts:
            return _call(flags, interrupts)
    except TextVaeError as error:
        notes = [as_counted(error, flags), *getattr(error, "__notes__", ())]
        print(f"textvae: {'; '.join(notes)}", file=sys.stderr)
        return error.exit_code
    except Interrupted as signal:
        print(
            f"textvae: {'; '.join([str(signal), *getattr(signal, '__notes__', ())])}",
            file=sys.stderr,
        )
        return signal.exit_code
    except OSError as error:
        discard_stdout()
        print(f"textvae: {error}", file=sys.stderr)
        return os.EX_IOERR


def _call(flags: argparse.Namespace, interrupts: Interrupts) -> int:
    """Run a command that calls a server; its calls are recorded however it ends."""
    is_named = flags.address is not None
    flags.address = checked_target("--address", flags.address) if is_named else default_target()
    _check(flags)
    calls: list[recording.Exchange] = []
    record = getattr(flags, "record", None)
    try:
        with Client(
            flags.address,
            flags.timeout,
            calls.append if record else None,
            caller=flags.caller,
            priority=flags.priority,
        ) as client:
            return _COMMANDS[flags.command](client, flags, interrupts)
    except UnavailableError as error:
        if not is_named and VARIABLE in os.environ:
            error.add_note(f"the address is that of {VARIABLE} in the environment")
        raise
    finally:
        if record and calls:
            recording.save(record, calls)


def _check(flags: argparse.Namespace) -> None:
    """Raise InputError for flags that no server need be asked about."""
    if flags.wait_s is not None and not flags.wait_s >= 0:
        raise InputError("--wait-s", f"must be 0 or more seconds, got {flags.wait_s:g}")
    output = getattr(flags, "output", None)
    if output is not None and output.suffix != ".npz":
        fix = "for text leave it out and write --json > FILE.jsonl"
        raise InputError("--output", f"must end in .npz, got {output}; {fix}")


def _encode(client: Client, flags: argparse.Namespace, interrupts: Interrupts) -> int:
    return run(client, verbs.ENCODE, sentence_source(flags), flags, interrupts)


def _paraphrase(client: Client, flags: argparse.Namespace, interrupts: Interrupts) -> int:
    return run(client, verbs.PARAPHRASE, sentence_source(flags), flags, interrupts)


def _score(client: Client, flags: argparse.Namespace, interrupts: Interrupts) -> int:
    return run(client, verbs.SCORE, sentence_source(flags), flags, interrupts)


def _decode(client: Client, flags: argparse.Namespace, interrupts: Interrupts) -> int:
    latents, ask = verbs.decoding(flags.file, flags.part)
    source = source_of(list(range(len(latents.values))), "latent", f" of {flags.file}")
    return run(client, verbs.decode_verb(ask), source, flags, interrupts)


def _sample(client: Client, flags: argparse.Namespace, interrupts: Interrupts) -> int:
    if flags.count < 1:
        client.sample(flags.count)  # the server says what is wrong with it
    return run(client, verbs.SAMPLE, source_of([None] * flags.count, "draw"), flags, interrupts)


def _interpolate(client: Client, flags: argparse.Namespace, _: Interrupts) -> int:
    flags.source = sentence_source(flags)
    sentences = all_sentences(flags, flags.source)
    walked = waiting(
        lambda: client.interpolate(
            sentences,
            flags.steps,
            path=flags.path,
            options=verbs.options_of(flags),
            seed=flags.seed,
        ),
        flags,
    )
    steps = zip(walked.positions, walked.sentences, strict=True)
    rows = [{"position": position} | verbs.row_of(sentence) for position, sentence in steps]
    if not flags.json:
        rows = table_rows(rows, has_ranks=flags.alternatives > 0)
    return _print(Answer(rows, walked.facts), flags)


def _replay(client: Client, flags: argparse.Namespace, _: Interrupts) -> int:
    calls = recording.load(flags.file)
    rows: list[Row] = []
    for number, call in enumerate(calls, start=1):
        try:
            differs = waiting(functools.partial(client.replay, call), flags)
        except TextVaeError as error:
            error.add_note(f"{flags.file}: call {number} of {len(calls)}, {call.method}")
            raise
        rows.append({"method": call.method, "same": not differs, "differs": ", ".join(differs)})
    return _print(Answer(rows, exit_code=0 if all(row["same"] for row in rows) else 1), flags)


def _info(client: Client, flags: argparse.Namespace, _: Interrupts) -> int:
    info = waiting(client.info, flags)
    limits, load = info.limits._asdict(), info.load._asdict()
    facts = info._asdict() | {"limits": limits, "load": load}
    if flags.json:
        return _print(Answer([facts]), flags)
    flat = {name: value for name, value in facts.items() if not isinstance(value, dict)}
    rows = [{"fact": fact, "value": value} for fact, value in (flat | limits | load).items()]
    return _print(Answer(rows), flags)


def _health(client: Client, flags: argparse.Namespace, _: Interrupts) -> int:
    end_s = time.monotonic() + (flags.wait_s or 0.0)
    while not (serving := client.health()) and time.monotonic() < end_s:
        time.sleep(PAUSE_S)
    status = "SERVING" if serving else "NOT_SERVING"
    proxy = "" if serving else proxy_between(flags.address)
    row = {"address": flags.address, "status": status} | ({"proxy": proxy} if proxy else {})
    return _print(Answer([row], exit_code=0 if serving else 1), flags)


def _print(answer: Answer, flags: argparse.Namespace) -> int:
    """Print an answer as the flags say; return its exit code."""
    (print_json if flags.json else print_table)(answer)
    return answer.exit_code


_COMMANDS: dict[str, Command] = {
    "encode": _encode,
    "decode": _decode,
    "sample": _sample,
    "interpolate": _interpolate,
    "paraphrase": _paraphrase,
    "score": _score,
    "replay": _replay,
    "info": _info,
    "health": _health,
}


if __name__ == "__main__":
    sys.exit(main())
