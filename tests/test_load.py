"""What the engine loads of a version, and which files it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import toys
from textvae.config.serve import ServeConfig
from textvae.engine import start
from textvae.engine.batch_invariance import BatchInvariance, check_batch_invariance
from textvae.engine.load import LoadedVersion, load_networks, load_version
from textvae.errors import CorruptError
from textvae.store.promotions import champion
from textvae.store.versions import Version


@pytest.fixture
def version(registry: Path, tmp_path: Path) -> Version:
    """The toy version with files that a test may change."""
    published = champion(registry, toys.MODEL)
    folder = tmp_path / published.name
    shutil.copytree(published.folder, folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    return published._replace(folder=folder)


def test_a_version_is_loaded_with_its_prior_and_without_one_where_none_is_attached(
    version: Version, registry: Path, tmp_path: Path
) -> None:
    loaded = load_version(registry, version)
    assert (loaded.latent, loaded.tokenizer.vocab, loaded.decoder.vocab) == (16, 600, 600)
    assert loaded.prior is not None
    assert loaded.prior.means.shape[1] == 16
    assert load_version(tmp_path / "elsewhere", version).prior is None


def test_the_networks_of_a_version_have_its_weights_and_do_not_drop_out(version: Version) -> None:
    for network, name in zip(load_networks(version), ("model", "language_model"), strict=True):
        weights = load_file(version.folder / f"{name}.safetensors")
        assert not network.training
        assert network.state_dict().keys() == weights.keys()
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, weights[key]), key


def cut(path: Path) -> None:
    """Leave out the last byte."""
    path.write_bytes(path.read_bytes()[:-1])


def rename(path: Path) -> None:
    """Give a tensor another name."""
    weights = load_file(path)
    weights["other"] = weights.pop(min(weights))
    save_file(weights, path)


def spoil(path: Path) -> None:
    """Put one infinity into the last tensor."""
    weights = load_file(path)
    weights[max(weights)].flatten()[-1] = np.inf
    save_file(weights, path)


@pytest.mark.parametrize("name", ["model.safetensors", "language_model.safetensors"])
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (cut, "is no whole file of tensors"),
        (rename, "is not the weights of this manifest's model_config"),
        (spoil, "has values that are not finite; train again"),
    ],
)
def test_weights_that_are_torn_foreign_or_not_finite_are_refused_by_name(
    version: Version, registry: Path, name: str, damage: Callable[[Path], None], problem: str
) -> None:
    path = version.folder / name
    damage(path)
    for load in (load_networks, lambda damaged: load_version(registry, damaged)):
        with pytest.raises(CorruptError, match=problem) as caught:
            load(version)
        assert str(caught.value).startswith(f"{path}: ")


def test_a_version_is_checked_with_the_threads_of_its_engine(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of two threads are rounded otherwise than those of one."""
    threads = []

    def check(loaded: LoadedVersion) -> BatchInvariance:
        threads.append(torch.get_num_threads())
        return check_batch_invariance(loaded)

    monkeypatch.setattr(start, "check_batch_invariance", check)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        config = ServeConfig(threads=2, precision="fp32")
        start.start_engine(registry, champion(registry, toys.MODEL), config).close()
    finally:
        torch.set_num_threads(before)
    assert threads == [2]
