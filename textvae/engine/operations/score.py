"""Score: bounds and estimates of the log-likelihood of sentences, in nats."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textvae.engine.limits import Limits, check_address, check_rows, check_sentences
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import (
    Address,
    Outcome,
    Planning,
    decoder_rows,
    draw_latents,
    name_sentences,
)
from textvae.engine.prices import Work
from textvae.latent import gaussian
from textvae.options import GREEDY, IMPORTANCE_SAMPLES_DEFAULT
from textvae.ranges import check_within


class ScoreResult(NamedTuple):
    """Nats per sentence, (n,) each; `elbo_nats` = -(reconstruction + KL) is negative."""

    reconstruction_nats: np.ndarray
    kl_nats: np.ndarray
    elbo_nats: np.ndarray
    iw_nll_nats: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True)
class ScoreRequest:
    """A request to score sentences, each by `importance_samples` draws of its posterior."""

    sentences: tuple[str, ...]
    importance_samples: int = IMPORTANCE_SAMPLES_DEFAULT
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that it needs in the decoder."""
        return len(self.sentences) * self.importance_samples

    @property
    def work(self) -> Work:
        """What it asks for."""
        return Work("score", sum(map(len, self.sentences)), self.rows, self.rows)

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits."""
        check_sentences(self.sentences, limits)
        name = "importance_samples"
        check_within(name, self.importance_samples, 1, limits.importance_samples_max)
        check_rows(name, self.rows, limits)
        check_address(self.seed, self.first_index)

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[ScoreResult]:
        """Decode one row per draw, which scores the tokens of its sentence.

        The importance-weighted estimate is -log(1/K * sum_k w_k), w = p(x|z) p(z) / q(z|x), of K
        draws z ~ q(z|x) (Burda et al. 2016, equation 8); the KL is that of Kingma & Welling 2014,
        appendix B: 1/2 * sum_d (mu_d^2 + sigma_d^2 - 1 - log sigma_d^2).
        """
        address = Address(self.seed, self.first_index)
        ids = yield from loaded.tokens(name_sentences(self.sentences), limits.tokens_max)
        mean, logvar = yield from loaded.encoding(ids)
        count = self.importance_samples
        latents = draw_latents(mean, logvar, count, address, loaded.library)
        rows = decoder_rows(owner, latents, address, GREEDY, limits, count)
        rows = [
            row._replace(targets=tuple(ids[number // count])) for number, row in enumerate(rows)
        ]
        finished = yield rows
        variance = np.exp(logvar.astype(np.float64))
        kl = gaussian.kl(mean.astype(np.float64), logvar.astype(np.float64), variance).sum(1)
        log_likelihood = np.array([row.log_prob for row in finished]).reshape(-1, count)
        z = latents.reshape(-1, count, loaded.latent)
        weights = gaussian.log_importance_weights(log_likelihood, z, mean, logvar)
        iw_nll = gaussian.iw_nll(weights)
        reconstruction = -log_likelihood.mean(1)
        tokens = np.array([len(sentence) for sentence in ids])
        result = ScoreResult(reconstruction, kl, -(reconstruction + kl), iw_nll, tokens)
        return Outcome(result, sum(map(len, ids)))
