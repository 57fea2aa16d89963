"""A prior fitted to the latents of real sentences, for regions of N(0, I) that no sentence has.

A Gaussian mixture over posterior draws, fitted after training: the weights of the model stay as
they are. Sampling needs NumPy alone.
"""

from typing import NamedTuple

import numpy as np
from safetensors.numpy import load, save

from textvae.errors import CorruptError


class FittedPrior(NamedTuple):
    """A mixture of `components` Gaussians over latents."""

    weights: np.ndarray
    """(components,) summing to 1."""
    means: np.ndarray
    """(components, latent)"""
    factors: np.ndarray
    """(components, latent, latent) lower Cholesky factors of the covariances."""

    def draw(self, uniforms: np.ndarray, normals: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """(n,) in [0, 1) and (n, latent) standard normal -> (n, latent) float32 draws.

        `scale` widens each component about its mean; 0 gives the means themselves.
        """
        component = np.searchsorted(np.cumsum(self.weights), uniforms, side="right")
        component = np.minimum(component, len(self.weights) - 1)
        # Row by row: a product's rounding must not depend on the number of draws.
        rows = [self.factors[k] @ noise for k, noise in zip(component, normals, strict=True)]
        return (self.means[component] + scale * np.stack(rows)).astype(np.float32)


def fit_prior(latents: np.ndarray, components: int, seed: int) -> FittedPrior:
    """(n, latent) -> FittedPrior; fewer components where there are too few latents for them."""
    # Only jobs fit a prior; a server samples from it without scikit-learn.
    from sklearn.mixture import GaussianMixture

    sentences, latent = latents.shape
    components = max(1, min(components, sentences // (4 * latent)))
    # A covariance of this many numbers needs at least some sentences each; the floor keeps the
    # factors of a dead dimension finite.
    mixture = GaussianMixture(
        components, covariance_type="full", random_state=seed, reg_covar=1e-4, max_iter=50, tol=1e-2
    ).fit(latents.astype(np.float64))
    factors = np.linalg.cholesky(mixture.covariances_)
    return FittedPrior(mixture.weights_, mixture.means_, factors)


def prior_bytes(prior: FittedPrior) -> bytes:
    """Return the prior as safetensors, for an attachment."""
    return save({name: np.ascontiguousarray(value) for name, value in prior._asdict().items()})


def prior_of(data: bytes, latent: int) -> FittedPrior:
    """Read the bytes of `prior_bytes`; raise CorruptError unless they fit `latent`."""
    tensors = load(data)
    if set(tensors) != set(FittedPrior._fields) or tensors["means"].shape[1:] != (latent,):
        raise CorruptError(f"prior: is not a mixture over {latent} latent columns; fit it again")
    return FittedPrior(**tensors)
