"""Presets: recipes by name, under what a file and flags say."""

from pathlib import Path

import pytest

from textvae.config.training import ModelConfig, TrainingConfig
from textvae.errors import InputError
from textvae.presets import PRESETS, preset_of
from textvae.settings import read_toml


def write_toml(folder: Path, text: str) -> Path:
    """Write a TOML file with this text."""
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_a_file_names_its_preset_and_wins_over_it(tmp_path: Path) -> None:
    path = write_toml(tmp_path, 'preset = "lm"\n[training]\nsteps = 7\n')
    found = read_toml(path)
    assert found["model"] == PRESETS["lm"].model
    assert found["training"].steps == 7
    assert found["training"].select == "iw-nll"
    assert found["training"].decoder_start == "language-model"


def test_a_flag_wins_over_the_preset_of_the_file(tmp_path: Path) -> None:
    path = write_toml(tmp_path, 'preset = "lm"\n[training]\nsteps = 7\n')
    found = read_toml(path, "edit")
    assert found["training"].target_kl_nats == PRESETS["edit"].training.target_kl_nats
    assert found["training"].steps == 7


def test_without_a_preset_a_file_stands_on_the_defaults(tmp_path: Path) -> None:
    found = read_toml(write_toml(tmp_path, "[training]\nsteps = 7\n"))
    assert "model" not in found
    assert found["training"] == TrainingConfig(steps=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('preset = "best"\n', "preset: must be one of default, edit, lm, paraphrase, got 'best'"),
        ("preset = 3\n", "preset: must be a name in "),
    ],
)
def test_a_wrong_preset_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_toml(write_toml(tmp_path, text))
    assert str(caught.value).startswith(message)


def test_every_preset_has_a_target_kl_that_keeps_its_latent_in_use() -> None:
    """The targets rise from the preset of likelihood to that of editing."""
    rates = [PRESETS[name].training.target_kl_nats for name in ("lm", "default", "edit")]
    assert rates == sorted(rates)
    assert rates[0] > 0
    assert preset_of("default") == (ModelConfig(), TrainingConfig())
