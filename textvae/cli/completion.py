"""Scripts that complete commands and flags in a shell, from the parser itself."""

import argparse
from typing import NamedTuple

SHELLS = ("bash", "zsh", "fish")


class Flag(NamedTuple):
    """A flag of a command."""

    name: str
    words: str
    choices: tuple[str, ...]
    has_value: bool
    is_path: bool


class Command(NamedTuple):
    """A command with its flags, and what its arguments may be."""

    name: str
    words: str
    flags: list[Flag]
    choices: tuple[str, ...]
    takes_path: bool


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the script of a shell."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands_of(parser))


def commands_of(parser: argparse.ArgumentParser) -> list[Command]:
    """Return all commands of a parser."""
    found = []
    for group in parser._subparsers._group_actions if parser._subparsers else []:
        assert isinstance(group, argparse._SubParsersAction)
        words = {action.dest: action.help or "" for action in group._choices_actions}
        for name, command in group.choices.items():
            flags = [_flag(action) for action in command._actions if action.option_strings]
            arguments = [action for action in command._actions if not action.option_strings]
            choices = tuple(str(one) for action in arguments for one in action.choices or ())
            takes_path = any(_is_path(action) for action in arguments)
            found.append(Command(name, words.get(name, ""), flags, choices, takes_path))
    return found


def _flag(action: argparse.Action) -> Flag:
    """Return a flag by its longest name."""
    return Flag(
        max(action.option_strings, key=len),
        (action.help or "").partition(";")[0].partition(" (")[0],
        tuple(str(choice) for choice in action.choices or ()),
        action.nargs != 0,
        _is_path(action),
    )


def _is_path(action: argparse.Action) -> bool:
    """Return whether the value is a path."""
    return getattr(action.type, "__name__", "") == "Path"


def _bash(commands: list[Command]) -> str:
    """Return the script of bash: words of the command, or values of the flag before."""
    values, words = [], []
    for command in commands:
        for flag in command.flags:
            if flag.choices:
                reply = f'COMPREPLY=($(compgen -W "{" ".join(flag.choices)}" -- "$word"))'
            elif flag.is_path:
                reply = 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$word"))'
            else:
                reply = "COMPREPLY=()"
            if flag.has_value:
                values.append(f"        {command.name},{flag.name}) {reply}; return ;;")
        own = " ".join([*(flag.name for flag in command.flags), *command.choices])
        files = 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); ' * command.takes_path
        flags = f'COMPREPLY=($(compgen -W "{own}" -- "$word"))'
        if files:
            words.append(
                f'        {command.name}) case "$word" in -*) {flags} ;; *) {files};; esac ;;'
            )
        else:
            words.append(f"        {command.name}) {flags} ;;")
    names = " ".join([*(command.name for command in commands), "--help", "--version"])
    return f"""# bash completion of textvae: source <(textvae completion bash)
_textvae() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local command=${{COMP_WORDS[1]}}
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{names}" -- "$word"))
        return
    fi
    case "$command,$before" in
{chr(10).join(values)}
    esac
    case "$command" in
{chr(10).join(words)}
    esac
}}
complete -F _textvae textvae
"""


def _zsh(commands: list[Command]) -> str:
    """Return the script of zsh, a function of its completion system."""
    cases = []
    for command in commands:
        specs = [_zsh_flag(flag) for flag in command.flags]
        if command.choices:
            specs.append(f"'1:value:({' '.join(command.choices)})'")
        elif command.takes_path:
            specs.append("'*:file:_files'")
        body = " \\\n                ".join(specs) or "'*: :'"
        cases.append(f"            {command.name})\n                _arguments {body} ;;")
    names = "\n".join(f"        {_quoted(f'{one.name}:{one.words}')}" for one in commands)
    return f"""#compdef textvae
# zsh completion of textvae: write it as _textvae to a folder of $fpath
_textvae() {{
    local -a commands
    commands=(
{names}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        _arguments '--help[help]' '--version[the release]'
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
{chr(10).join(cases)}
    esac
}}
if [ "$funcstack[1]" = "_textvae" ]; then
    _textvae "$@"
else
    compdef _textvae textvae
fi
"""


def _zsh_flag(flag: Flag) -> str:
    """Return a flag as _arguments takes it."""
    words = flag.words.replace("[", "(").replace("]", ")").replace(":", " -").replace("%", "")
    value = ""
    if flag.has_value:
        kind = f"({' '.join(flag.choices)})" if flag.choices else "_files" * flag.is_path or " "
        value = f":value:{kind}"
    return _quoted(f"*{flag.name}[{words}]{value}")


def _fish(commands: list[Command]) -> str:
    """Return the script of fish, a line for each command and flag."""
    lines = [
        "# fish completion of textvae: textvae completion fish | source",
        "complete -c textvae -f",
        "complete -c textvae -n __fish_use_subcommand -l version -d 'the release'",
    ]
    for command in commands:
        within = f"-n '__fish_seen_subcommand_from {command.name}'"
        lines.append(
            f"complete -c textvae -n __fish_use_subcommand -a {command.name} "
            f"-d {_quoted(command.words)}"
        )
        if command.choices:
            lines.append(f"complete -c textvae {within} -a '{' '.join(command.choices)}'")
        if command.takes_path:
            lines.append(f"complete -c textvae {within} -F")
        for flag in command.flags:
            value = f" -x -a '{' '.join(flag.choices)}'" if flag.choices else " -x"
            value = " -r -F" if flag.is_path else value if flag.has_value else ""
            name = flag.name.removeprefix("--")
            lines.append(f"complete -c textvae {within} -l {name}{value} -d {_quoted(flag.words)}")
    return "\n".join(lines) + "\n"


def _quoted(words: str) -> str:
    """Return words in the single quotes of a shell; one within them is left out."""
    return "'" + words.replace("'", "").replace("%%", "%") + "'"
