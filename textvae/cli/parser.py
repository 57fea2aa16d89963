"""The parser of all commands: their flags with defaults, and examples of each."""

import argparse
import importlib.metadata
from collections.abc import Callable
from typing import Any, get_args

from textvae.cli import flags as command_flags
from textvae.cli.completion import SHELLS
from textvae.cli.programs import PROGRAMS
from textvae.cli.stream import WAIT_S
from textvae.client.addresses import TARGET, VARIABLE
from textvae.client.clients import TIMEOUT_S
from textvae.wire import Priority

ADD_FLAGS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None] | None]] = {
    "encode": ("sentences to posteriors", command_flags.encode),
    "decode": ("latents of a file to sentences", command_flags.decode),
    "sample": ("draws of a prior to sentences", command_flags.sample),
    "interpolate": ("sentences on a path through sentences", command_flags.interpolate),
    "paraphrase": ("variations of sentences", command_flags.paraphrase),
    "score": ("how likely the model finds sentences, in nats", command_flags.score),
    "replay": (
        "repeat the calls of a file: exit code 0 if all responses are the same",
        command_flags.replay,
    ),
    "info": ("the version that serves, its limits and its load", None),
    "health": ("whether a server serves: exit code 0, else 1", None),
}
"""The words and flags of each command that calls a server."""

_LINES = """
lines: results are streamed in input order. An invalid line is skipped and reported by number on
stderr, with --json also as a row {"line": 3, "error": ...}; the exit code is then 65. If the server
restarts, calls are retried for --wait-s seconds, then the exit code is 75. After Ctrl-C the output
ends with a complete line; exit code 130.
"""

EXAMPLES = {
    "encode": f"""examples:
  textvae encode "the cat sleeps" --json
  textvae encode --json < sentences.txt > latents.jsonl
  textvae encode --input table.csv --text-column utterance --output latents.npz
{_LINES}""",
    "decode": """examples:
  textvae encode "the cat sleeps" --output latents.npz && textvae decode latents.npz
  textvae decode latents.npz --beam 5 --alternatives 2
""",
    "sample": """examples:
  textvae sample --count 10
  textvae sample --count 1000 --temperature 0.7 --seed 7 --json > sentences.jsonl
""",
    "interpolate": """examples:
  textvae interpolate "the cat sleeps" "the dog runs" --steps 7
  textvae interpolate --path slerp --json < points.txt

All lines of stdin are points of one path, so that a line that is refused ends it: exit code 2.
""",
    "paraphrase": f"""examples:
  textvae paraphrase "the cat sleeps" --count 5 --candidates 4
  textvae paraphrase "meet {{name}} at 9" --lock meet --lock-numbers --distinct
  textvae paraphrase --input table.csv --text-column utterance --json > variations.jsonl
{_LINES}""",
    "score": f"""examples:
  textvae score "the cat sleeps"
  textvae score --json < sentences.txt > scores.jsonl
{_LINES}""",
    "replay": """examples:
  textvae sample --count 3 --record calls.json && textvae replay calls.json
""",
    "info": f"""examples:
  textvae info --json
  {VARIABLE}=10.0.0.7:50061 textvae info
""",
    "health": """examples:
  textvae health || echo "no server"
""",
    "completion": """examples:
  source <(textvae completion bash)
  textvae completion zsh > ~/.zfunc/_textvae
  textvae completion fish > ~/.config/fish/completions/textvae.fish
""",
}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with examples as they are written, and the default of every flag."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        words, default = action.help, action.default
        is_flag = bool(action.option_strings) and default is not argparse.SUPPRESS
        if not words or not is_flag or "(default " in words:
            return words
        if default in (None, [], False) and not isinstance(default, int | float):
            return f"{words} (default none)"
        if default is False:
            return f"{words} (default off)"
        return f"{words} (default %(default)s)"


def release() -> str:
    """Return the release of the installed package."""
    try:
        return importlib.metadata.version("textvae")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; `command` gets the name of the one that is called."""
    whole = argparse.ArgumentParser(
        prog="textvae",
        description="A sentence VAE, served.",
        epilog=f"Servers are called at --address, else at {VARIABLE} of the environment. "
        "textvae COMMAND --help has examples.",
    )
    whole.add_argument("--version", action="version", version=f"textvae {release()}")
    commands = whole.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    for name, program in PROGRAMS.items():
        commands.add_parser(name, help=program.help, add_help=False)
    for name, (words, add_flags) in ADD_FLAGS.items():
        command = _command(commands, name, words)
        if add_flags:
            add_flags(command)
        _add_server(command)
    completion = _command(commands, "completion", "the completion of commands and flags in a shell")
    completion.add_argument("shell", choices=SHELLS, help="shell whose script is printed")
    return whole


def _command(commands: Any, name: str, words: str) -> argparse.ArgumentParser:
    """Add a command with its description and its examples."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=EXAMPLES[name],
        formatter_class=_Formatter,
    )
    return command


def _add_server(command: argparse.ArgumentParser) -> None:
    """Add the flags of every command that calls a server."""
    add = command.add_argument_group("server and output").add_argument
    add("--address", help=f"host:port (default {VARIABLE}, else {TARGET})")
    add("--timeout", type=float, default=TIMEOUT_S, help="seconds a call; inf: no limit")
    add(
        "--wait-s",
        type=float,
        metavar="SECONDS",
        help="retry for so long while the server is unavailable or busy "
        f"(default {WAIT_S:g} in the middle of a run, 0 for one that is not there at the start)",
    )
    add(
        "--priority",
        choices=get_args(Priority),
        default="interactive",
        help="bulk gives way to calls that somebody waits for",
    )
    add("--caller", default="", metavar="NAME", help="the name that its share of the server is of")
    add("--json", action="store_true", help="print one JSON object a line")
