"""Settings from TOML and JSON values, and back."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from textvae.config.bulk import BulkConfig
from textvae.config.data import DataConfig, StoreConfig, TokenizerConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.nightly import NightlyConfig
from textvae.config.prune import PruneConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.errors import InputError, NotFoundError
from textvae.presets import preset_of

Config = TypeVar("Config")

_NAMES = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    Path: "a path in quotes",
    str: "text in quotes",
}


@dataclass(frozen=True)
class Sections:
    """All sections of a TOML file; every job reads the same file and takes those it needs."""

    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    night: NightlyConfig = NightlyConfig()
    prune: PruneConfig = PruneConfig()
    serve: ServeConfig = ServeConfig()
    bulk: BulkConfig = BulkConfig()


def from_mapping(
    kind: type[Config], values: dict[str, Any], where: str, base: Config | None = None
) -> Config:
    """Return the dataclass `kind` with these values, all others as in `base` or by default.

    Raise InputError for an unknown key or a wrong type; `where` is the section in the message.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(
            f"{where}.{unknown[0]}", f"no such setting; there are {', '.join(sorted(hints))}"
        )
    typed = {name: _typed(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    return kind(**typed) if base is None else dataclasses.replace(base, **typed)  # type: ignore[type-var]


def _typed(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the field's type; raise InputError where it is of another."""
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            problem = f"must be a list, as in {json.dumps([value], default=str)}, got {value!r}"
            raise InputError(where, problem)
        return tuple(_typed(get_args(hint)[0], item, where) for item in value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise InputError(where, f"must be one of {', '.join(get_args(hint))}, got {value!r}")
        return value
    if hint is Path and isinstance(value, str):
        if not value.strip():
            raise InputError(where, "must be a path, got an empty one")
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = hint if isinstance(hint, type) else None
    if (
        kind is None
        or not isinstance(value, kind)
        or (isinstance(value, bool) and kind is not bool)
    ):
        raise InputError(where, f"must be {_NAMES.get(hint, hint)}, got {value!r}")
    return value


class FileSettings(NamedTuple):
    """What a settings file says."""

    sections: dict[str, Any]
    """Dataclasses by name: those that it has, and those of its preset."""
    named: tuple[str, ...]
    """The sections that it has itself, in its order."""
    preset: str
    """The preset that it names; empty for none."""


def read_toml(path: Path, preset: str = "") -> dict[str, Any]:
    """Return the sections of a TOML file as dataclasses by name, without those that it lacks.

    With a preset, its sections are present in any case. The preset is `preset`, or else the one
    that the file names in a line `preset = "NAME"` before its first section. Raise NotFoundError
    where there is no file, and InputError for an unknown name or a wrong value.
    """
    return read_settings(path, preset).sections


def read_settings(
    path: Path, preset: str = "", own: Mapping[str, Any] = MappingProxyType({})
) -> FileSettings:
    """Return what a settings file says, as `read_toml` reads it.

    `own`: sections with defaults of a reader's own, of which the file replaces single values; a
    preset replaces them whole.
    """
    tables = _read_tables(path)
    kinds = get_type_hints(Sections)
    own_preset = tables.pop("preset", "")
    if not isinstance(own_preset, str):
        raise InputError("preset", f"must be a name in {path}, got {own_preset!r}")
    sections = sections_of(preset or own_preset)
    bases = {**own, **sections}
    unknown = sorted(set(tables) - set(kinds))
    if unknown:
        raise InputError(unknown[0], f"no such section in {path}; there are {', '.join(kinds)}")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(name, f"must be a section, [{name}], in {path}")
        sections[name] = from_mapping(kinds[name], table, name, bases.get(name))
    return FileSettings(sections, tuple(tables), own_preset)


def _read_tables(path: Path) -> dict[str, Any]:
    """Return a TOML file as it is."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file; --config takes a TOML file") from None
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"is not TOML: {error}") from None


def sections_of(preset: str) -> dict[str, Any]:
    """Return the sections of a preset by name; none for the empty name."""
    return preset_of(preset)._asdict() if preset else {}


def to_mapping(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON and TOML values."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values[field.name] = to_mapping(value)
        elif isinstance(value, tuple):
            values[field.name] = [str(item) for item in value]
        else:
            values[field.name] = str(value) if isinstance(value, Path) else value
    return values


def to_toml(sections: dict[str, Any]) -> str:
    """Return sections as TOML text, which `read_toml` gives back unchanged."""
    # JSON's strings, numbers, booleans and arrays are TOML's too.
    lines = []
    for name, config in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in to_mapping(config).items()]
        lines.append("")
    return "\n".join(lines)


def refuse_empty_paths(kinds: Sequence[type[Any]], arguments: Sequence[str]) -> None:
    """Raise InputError for an empty path among flags, such as that of an unset variable of a shell.

    As a path it would be the working folder. `kinds`: the dataclasses of the flags.
    """
    flag = ""
    for argument in arguments:
        if argument.startswith("--"):
            flag, is_joined, value = argument[2:].partition("=")
            if not is_joined or value:
                continue
        elif argument:
            continue
        names = flag.replace("-", "_").split(".")
        if any("Path" in str(_hint(kind, names)) for kind in kinds):
            raise InputError(".".join(names), "must be a path, got an empty one")


def _hint(kind: Any, names: Sequence[str]) -> Any:
    """Return the type of a field of a dataclass, or of one in it; None where there is none."""
    for name in names:
        kind = get_type_hints(kind).get(name) if dataclasses.is_dataclass(kind) else None
    return kind
