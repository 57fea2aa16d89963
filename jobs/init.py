"""`python -m jobs.init`, as `textvae init`: a settings file that says what each setting means."""

import ast
import dataclasses
import inspect
import json
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from textvae import files
from textvae.errors import InputError
from textvae.installation import job_command
from textvae.settings import Sections, to_mapping

from .command import run_job

WIDTH = 100
SET: Mapping[str, Mapping[str, Any]] = {
    "store": {"registry": "registry", "model": "sentences", "spans": "spans", "runs": "runs"},
    "data": {"inputs": ["inbox"], "text_column": "text"},
    "training": {"epochs": 20.0},
}
"""Settings that the file sets; all others stand there as comments."""
COMMON: Mapping[str, str] = {
    "store": "registry model spans runs",
    "data": "inputs text_column label_column group_column label_is_group delimiter characters_max "
    "valid_share test_share pii blocklist near_duplicates",
    "tokenizer": "vocab kind",
    "model": "embed hidden latent dropout",
    "training": "epochs steps language_model_steps start warm_steps batch tokens_max device "
    "learning_rate word_dropout word_noise sibling_share target_kl_nats seed",
    "evaluation": "sentences device groups labelled_sentences generation_sentences",
    "gate": "worse_share_max champion_days_max reconstruction_bleu_min adequacy_min canaries",
    "night": "hook hook_timeout_s ask_server",
    "prune": "versions_kept grace_days",
    "serve": "host port tokens_max threads precision warm",
    "bulk": "shard_rows workers bad_share_max",
}
"""Settings that most people come across, in this order; --all has every one."""
HEAD = """# Settings of textvae: one file for a nightly run, its jobs and the server.
#   {nightly} --config {file}
#   textvae serve --config {file}
# A key is a flag of each job that takes its section (--training.steps 5000), and flags win over
# the file. A line with # before its key shows the default.

# A recipe for [model] and [training]: lm for the best likelihood, edit for the most exact
# rebuilding, paraphrase for text with groups that say the same.
# preset = "default"
"""
HOOK = """#!/bin/sh
# The hook of a nightly run: it gets the result as one line of JSON on stdin, after success and
# failure. Its output is not shown; what it shall leave behind it writes itself.
set -eu
result=$(cat)
printf '%s\\n' "$result" >> nightly-results.jsonl
case $result in
*'"outcome": "promoted"'* | *'"outcome": "up_to_date"'*) ;;
*)
    # Tell somebody, for example:
    # printf '%s\\n' "$result" | mail -s 'textvae: no new version tonight' team@example.org
    # curl --silent --fail --data "$result" https://example.org/hooks/textvae
    ;;
esac
"""


@dataclass(frozen=True)
class Init:
    """Writes a settings file with comments, made from the declarations of the settings.

    It overwrites nothing.
    """

    file: Path = Path("nightly.toml")
    """File to write."""
    inputs: tuple[Path, ...] = ()
    """Your text: files or folders, for data.inputs; none: the folder inbox."""
    text_column: str = ""
    """Column or key of the sentence, for data.text_column; empty: text."""
    name: str = ""
    """Name of the model, for store.model; empty: sentences."""
    hook: Path | None = None
    """Example of a hook to write too, such as nightly-hook.sh, which night.hook then runs."""
    all: bool = False
    """Write every setting, and not the common ones alone."""


def main(settings: Init) -> dict[str, Any]:
    """Return outcome `written` and the paths. Raises InputError where a file exists already."""
    text = template(settings)
    contents = {settings.file: text}
    if settings.hook is not None:
        if settings.hook == settings.file:
            raise InputError("hook", f"must be another file than {settings.file}")
        contents[settings.hook] = HOOK
    for path in contents:
        if path.exists() or path.is_symlink():
            field = "file" if path == settings.file else "hook"
            raise InputError(field, f"{path} exists; give another name, or remove it first")
    for path, content in contents.items():
        files.write_text(path, content)
    inputs = ", ".join(map(str, settings.inputs or (Path("inbox"),)))
    print(
        f"wrote {', '.join(map(str, contents))}\n"
        f"Go on with: text in {inputs}, then {job_command('nightly')} --config {settings.file}"
    )
    return {"outcome": "written", "files": [str(path) for path in contents]}


def template(settings: Init) -> str:
    """Return the settings file as text; `read_toml` takes it."""
    chosen: dict[str, dict[str, Any]] = {name: dict(values) for name, values in SET.items()}
    if settings.inputs:
        chosen["data"]["inputs"] = [str(path) for path in settings.inputs]
    if settings.text_column:
        chosen["data"]["text_column"] = settings.text_column
    if settings.name:
        chosen["store"]["model"] = settings.name
    if settings.hook is not None:
        chosen["night"] = {"hook": f"sh {shlex.quote(str(settings.hook))}"}
    parts = [HEAD.format(file=settings.file, nightly=job_command("nightly"))]
    for section, kind in get_type_hints(Sections).items():
        names = COMMON[section].split()
        if settings.all:
            names = [field.name for field in dataclasses.fields(kind)]
        parts.append(_section(section, kind, names, chosen.get(section, {})))
    return "\n".join(parts)


def setting_comments(kind: type[Any]) -> dict[str, str]:
    """Return what each field of a dataclass means, as its declaration says in the source."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef), f"{kind} is a class"
    comments: dict[str, str] = {}
    name = ""
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            comments[name] = " ".join(str(node.value.value).split())
            name = ""
    return comments


def _section(section: str, kind: type[Any], names: list[str], chosen: Mapping[str, Any]) -> str:
    """Return a section with these settings: those that are chosen are set, others are comments."""
    comments, defaults = setting_comments(kind), to_mapping(kind())
    lines = [*_comment(" ".join((kind.__doc__ or "").split())), f"[{section}]"]
    for name in names:
        lines += _comment(comments[name])
        value = chosen.get(name, defaults[name])
        # JSON's strings, numbers, booleans and arrays are TOML's too.
        written = f"{name} = {json.dumps(value, ensure_ascii=False)}"
        lines.append(written if name in chosen else f"# {written}")
    return "\n".join([*lines, ""])


def _comment(words: str) -> list[str]:
    """Return a text as lines of a comment."""
    return textwrap.wrap(words, WIDTH, initial_indent="# ", subsequent_indent="# ")


if __name__ == "__main__":
    run_job("init", Init, main)
