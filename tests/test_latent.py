"""Paths, fitted priors and statistics of latents."""

import math

import numpy as np
import pytest
from safetensors.numpy import save

from textvae.errors import CorruptError
from textvae.latent.paths import lerp, path, slerp
from textvae.latent.prior import FittedPrior, fit_prior, prior_bytes, prior_of
from textvae.latent.statistics import latent_statistics, mutual_information

RANDOM = np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    """Standard normal float32 numbers."""
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["lerp", "slerp"])
@pytest.mark.parametrize("steps", [2, 3, 7, 50])
def test_a_path_begins_and_ends_at_its_points_to_the_bit(kind: str, steps: int) -> None:
    points = draw(2, 8)
    line = path(points, steps, kind)  # type: ignore[arg-type]
    assert np.array_equal(line.latents[[0, -1]], points)
    assert line.positions[[0, -1]].tolist() == [0.0, 1.0]
    assert np.isfinite(line.latents).all()


def test_a_path_through_three_points_meets_the_middle_one() -> None:
    points = draw(3, 8)
    assert np.array_equal(path(points, 9, "lerp").latents[4], points[1])


def test_halfway_is_the_mean_of_the_ends() -> None:
    start, end = draw(8), draw(8)
    np.testing.assert_allclose(lerp(start, end, 0.5), (start + end) / 2, rtol=1e-5, atol=1e-6)


def test_a_great_circle_keeps_the_length_between_those_of_its_ends() -> None:
    start, end = draw(16), 2 * draw(16)
    lengths = sorted([np.linalg.norm(start), np.linalg.norm(end)])
    for share in np.linspace(0, 1, 11):
        assert lengths[0] - 1e-4 <= np.linalg.norm(slerp(start, end, share)) <= lengths[1] + 1e-4


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.0, 1.0 + 1e-7])
def test_parallel_opposite_and_empty_points_give_numbers(factor: float) -> None:
    start = draw(8)
    assert np.isfinite(slerp(start, factor * start, 0.3)).all()


def test_a_fitted_prior_draws_what_it_was_fitted_to() -> None:
    """Two clumps come back as two clumps, and nothing lies between them."""
    clumps = np.concatenate([draw(500, 4) * 0.1 + 3, draw(1500, 4) * 0.1 - 3])
    prior = fit_prior(clumps, components=2, seed=0)
    draws = prior.draw(RANDOM.random(2000), RANDOM.standard_normal((2000, 4)))
    assert (np.abs(draws).min(1) > 2).all()
    assert float((draws[:, 0] > 0).mean()) == pytest.approx(0.25, abs=0.04)
    assert float(draws[draws[:, 0] > 0].std()) == pytest.approx(0.1, rel=0.1)


def test_a_draw_does_not_depend_on_other_draws() -> None:
    prior = fit_prior(draw(400, 6), components=3, seed=0)
    uniforms, normals = RANDOM.random(20), RANDOM.standard_normal((20, 6))
    together = prior.draw(uniforms, normals)
    for row in range(20):
        alone = prior.draw(uniforms[row : row + 1], normals[row : row + 1])
        assert np.array_equal(alone[0], together[row])


def test_draws_are_the_means_of_their_components_and_noise_by_the_factors() -> None:
    """The uniform number chooses the component by the cumulative weights, the last at their end."""
    means, factors = RANDOM.standard_normal((2, 3)), RANDOM.standard_normal((2, 3, 3))
    prior = FittedPrior(np.array([0.25, 0.74999]), means, factors)
    uniforms, normals = np.array([0.0, 0.2499, 0.25, 0.9, 1 - 1e-9]), draw(5, 3)
    components = [0, 0, 1, 1, 1]
    for scale in (1.0, 2.0):
        wanted = [
            means[k] + scale * factors[k] @ z for k, z in zip(components, normals, strict=True)
        ]
        found = prior.draw(uniforms, normals, scale)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    assert np.array_equal(prior.draw(uniforms, normals), prior.draw(uniforms, normals, 1.0))
    only_means = prior.draw(uniforms, normals, scale=0.0)
    assert np.array_equal(only_means, means[components].astype(np.float32))


def test_a_prior_of_one_component_has_the_mean_and_covariance_of_the_latents() -> None:
    """With a floor of 1e-4 under each variance, so that a dead dimension has a finite factor."""
    latents = draw(300, 4)
    latents[:, 2] = 0.5
    prior = fit_prior(latents, components=1, seed=0)
    exact = latents.astype(np.float64)
    np.testing.assert_allclose(prior.weights, [1.0])
    np.testing.assert_allclose(prior.means[0], exact.mean(0), atol=1e-9)
    covariance = np.cov(exact.T, bias=True) + 1e-4 * np.eye(4)
    np.testing.assert_allclose(prior.factors[0] @ prior.factors[0].T, covariance, atol=1e-9)
    assert np.array_equal(prior.factors[0], np.tril(prior.factors[0]))
    assert prior.factors[0][2, 2] == pytest.approx(0.01)


def test_a_component_needs_four_latents_for_each_of_its_dimensions() -> None:
    for latents, asked, fitted in ((30, 16, 1), (7, 16, 1), (47, 16, 2), (48, 16, 3), (48, 2, 2)):
        prior = fit_prior(draw(latents, 4), components=asked, seed=0)
        assert prior.means.shape == (fitted, 4)


def test_a_prior_is_the_same_for_the_same_seed() -> None:
    latents = draw(200, 3)
    one, same, other = (fit_prior(latents, components=4, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.means, same.means)
    assert not np.array_equal(one.means, other.means)


def test_a_file_of_other_tensors_is_no_prior() -> None:
    prior = fit_prior(draw(100, 3), components=1, seed=0)
    with pytest.raises(CorruptError, match="fit it again"):
        prior_of(save({"weights": prior.weights, "means": prior.means}), latent=3)


def test_a_prior_survives_its_bytes_and_is_refused_at_another_width() -> None:
    prior = fit_prior(draw(200, 5), components=2, seed=0)
    again = prior_of(prior_bytes(prior), latent=5)
    assert all(np.array_equal(*pair) for pair in zip(prior, again, strict=True))
    with pytest.raises(CorruptError, match="is not a mixture over 6 latent columns"):
        prior_of(prior_bytes(prior), latent=6)


def test_mutual_information_is_the_logarithm_of_the_set_where_no_two_overlap() -> None:
    """And none where all posteriors are one. It is not capped by the size of a block."""
    count = 1000
    far = np.arange(count)[:, None] * np.ones((1, 2)) * 100
    narrow = np.full((count, 2), -2.0)
    assert mutual_information(far, narrow, far) == pytest.approx(math.log(count), rel=1e-6)
    same = np.zeros((count, 2))
    assert mutual_information(same, same, draw(count, 2)) == pytest.approx(0, abs=1e-9)


def test_active_units_are_the_dimensions_whose_means_vary() -> None:
    mean, logvar = np.zeros((500, 4)), np.zeros((500, 4))
    mean[:, 1], mean[:, 3] = draw(500), draw(500) * 0.05
    found = latent_statistics(mean, logvar, mean)
    assert found.active_units == 1
    assert found.kl_nats[0] == 0
    assert found.kl_nats[1] == pytest.approx(0.5 * float((mean[:, 1] ** 2).mean()))
