"""Settings from TOML and plain values, and back."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from textvae.config.data import DataConfig, StoreConfig, TokenizerConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.nightly import NightConfig
from textvae.config.prune import PruneConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.errors import InputError, NotFoundError
from textvae.presets import preset_of

Config = TypeVar("Config")


@dataclass(frozen=True)
class Sections:
    """All sections a TOML file may have; every job reads the same file and takes what it needs."""

    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    night: NightConfig = NightConfig()
    prune: PruneConfig = PruneConfig()
    serve: ServeConfig = ServeConfig()


def from_mapping(
    kind: type[Config], values: dict[str, Any], where: str, base: Config | None = None
) -> Config:
    """The dataclass `kind` from plain values, the others as `base` has them or by default.

    InputError for an unknown key or a wrong type.
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
    """`value` as the field's type, or InputError."""
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_typed(get_args(hint)[0], item, where) for item in value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise InputError(where, f"must be one of {', '.join(get_args(hint))}, got {value!r}")
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wanted = hint if isinstance(hint, type) else None
    if (
        wanted is None
        or not isinstance(value, wanted)
        or (isinstance(value, bool) and wanted is not bool)
    ):
        raise InputError(where, f"must be {getattr(hint, '__name__', hint)}, got {value!r}")
    return value


def read_toml(path: Path, preset: str = "") -> dict[str, Any]:
    """The sections of a TOML file as dataclasses by name; sections it lacks are absent.

    Those that a preset decides are there in any case where one is named: by `preset`, or else by
    the file itself, in a line `preset = "NAME"` before its first section.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file; --config takes a TOML file") from None
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"is not TOML: {error}") from None
    kinds = get_type_hints(Sections)
    named = tables.pop("preset", "")
    if not isinstance(named, str):
        raise InputError("preset", f"must be a name in {path}, got {named!r}")
    bases = sections_of(preset or named)
    unknown = sorted(set(tables) - set(kinds))
    if unknown:
        raise InputError(unknown[0], f"no such section in {path}; there are {', '.join(kinds)}")
    sections = dict(bases)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(name, f"must be a section, [{name}], in {path}")
        sections[name] = from_mapping(kinds[name], table, name, bases.get(name))
    return sections


def sections_of(preset: str) -> dict[str, Any]:
    """The sections that a preset decides, by name; none for the empty name."""
    return preset_of(preset)._asdict() if preset else {}


def to_mapping(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON and TOML values."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            plain[field.name] = to_mapping(value)
        elif isinstance(value, tuple):
            plain[field.name] = [str(item) for item in value]
        else:
            plain[field.name] = str(value) if isinstance(value, Path) else value
    return plain


def to_toml(sections: dict[str, Any]) -> str:
    """Sections as TOML text that `read_toml` gives back unchanged."""
    # JSON's strings, numbers, booleans and arrays are TOML's too.
    lines = []
    for name, config in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in to_mapping(config).items()]
        lines.append("")
    return "\n".join(lines)
