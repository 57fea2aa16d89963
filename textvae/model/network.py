"""Encoder, decoder, the sentence VAE made of both, and the language model made of one."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from textvae.config import ModelConfig
from textvae.model.posterior import Posterior

# The encoder's noise and the decoder's word dropout write this id, which no sentence contains.
UNKNOWN = 3
# Keeps exp(logvar) and its inverse finite in float32 and bfloat16.
LOGVAR_RANGE = (-12.0, 4.0)


class Targets(NamedTuple):
    """The real tokens of a batch that the decoder has to write, in one row."""

    ids: Tensor
    """(tokens,) each sentence's tokens after begin, end included."""
    places: Tensor
    """(tokens,) where each stands in (batch * (time - 1),)."""
    owner: Tensor
    """(tokens,) the sentence of each token, 0 to batch - 1."""


def targets_of(tokens: Tensor, lengths: Tensor) -> Targets:
    """(batch, time), (batch,) -> what follows each real token."""
    following = tokens[:, 1:]
    time = following.shape[1]
    real = torch.arange(time, device=tokens.device)[None, :] < (lengths - 1)[:, None]
    places = real.flatten().nonzero().squeeze(1)
    return Targets(following.flatten()[places], places, places // time)


def reverse(tokens: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time), (batch,) -> (batch, time): real tokens backwards, padding in place."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)[None, :]
    backwards = lengths[:, None] - 1 - positions
    return tokens.gather(1, torch.where(backwards >= 0, backwards, positions))


class Encoder(nn.Module):
    """A GRU in each direction; the posterior is read off its pooled states."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.forward_gru = nn.GRU(config.embed, config.hidden, batch_first=True)
        self.backward_gru = nn.GRU(config.embed, config.hidden, batch_first=True)
        self.mean = nn.Linear(6 * config.hidden, config.latent)
        self.logvar = nn.Linear(6 * config.hidden, config.latent)
        self.batchnorm: nn.BatchNorm1d | None = None
        if config.batchnorm_scale > 0:
            self.batchnorm = nn.BatchNorm1d(config.latent)
            nn.init.constant_(self.batchnorm.weight, config.batchnorm_scale)
            # A learned scale would let the KL fall to 0 again (Zhu et al. 2020, section 3.2).
            self.batchnorm.weight.requires_grad_(False)

    def forward(self, ahead: Tensor, back: Tensor, lengths: Tensor) -> Posterior:
        """Embeddings of the tokens and of the reversed tokens, (batch, time, embed) each, and
        (batch,) -> Posterior of (batch, latent).

        Both GRUs run forwards over padding at the end, so no real state ever sees it.
        """
        pooled = torch.cat(
            [pool(self.forward_gru(ahead)[0], lengths), pool(self.backward_gru(back)[0], lengths)],
            1,
        )
        return self.posterior(pooled)

    def posterior(self, pooled: Tensor) -> Posterior:
        """(batch, 6 * hidden) -> Posterior of (batch, latent), in float32."""
        mean = self.mean(pooled).float()
        if self.batchnorm is not None:
            mean = self.batchnorm(mean)
        return Posterior(mean, self.logvar(pooled).float().clamp(*LOGVAR_RANGE))


def pool(states: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time, hidden), (batch,) -> (batch, 3 * hidden): last, mean and largest real state."""
    places = torch.arange(states.shape[1], device=states.device)
    real = (places[None, :] < lengths[:, None])[:, :, None]
    last = states[torch.arange(len(states), device=states.device), lengths - 1]
    mean = (states * real).sum(1) / lengths[:, None].to(states.dtype)
    largest = states.masked_fill(~real, -torch.inf).amax(1)
    return torch.cat([last, mean, largest], 1)


class Decoder(nn.Module):
    """A GRU over embeddings; a latent, if there is one, enters its first state and every step."""

    def __init__(self, config: ModelConfig, vocab: int, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.gru = nn.GRU(config.embed + latent, config.hidden, batch_first=True)
        self.start = nn.Linear(latent, config.hidden) if latent else None
        self.output = nn.Linear(config.hidden + latent, config.embed)
        self.bias = nn.Parameter(torch.zeros(vocab))

    def forward(self, embedded: Tensor, latents: Tensor | None) -> Tensor:
        """(batch, time, embed), (batch, latent) or None -> (batch, time, embed) for the softmax."""
        if latents is None or self.start is None:
            return cast(Tensor, self.output(self.gru(embedded)[0]))
        every_step = latents[:, None, :].expand(-1, embedded.shape[1], -1)
        start = torch.tanh(self.start(latents))[None].to(embedded.dtype)
        states = self.gru(torch.cat([embedded, every_step.to(embedded.dtype)], 2), start)[0]
        written = self.output(torch.cat([states, every_step.to(states.dtype)], 2))
        return cast(Tensor, written)


class Dropped(NamedTuple):
    """Shares of tokens and units hidden while the network trains, and the generator of both.

    The generator is the CPU's wherever the network is, so that one state replays a run.
    """

    units: float
    encoder_words: float
    decoder_words: float
    generator: torch.Generator


def drop_words(tokens: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(batch, time) -> the same with a share of the tokens unknown; ids below 4 stay."""
    if share <= 0:
        return tokens
    hidden = (torch.rand(tokens.shape, generator=generator) < share).to(tokens.device)
    return tokens.masked_fill(hidden & (tokens > UNKNOWN), UNKNOWN)


def drop_units(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(batch, time, width) -> the same with one mask per sentence for all its tokens (Gal &
    Ghahramani 2016, section 4)."""
    if share <= 0:
        return values
    kept = torch.rand(values.shape[0], 1, values.shape[2], generator=generator) >= share
    return values * (kept.to(values.device, values.dtype) / (1 - share))


class Writer(nn.Module):
    """Embedding, decoder and the softmax tied to that embedding; `latent` 0: a language model."""

    def __init__(self, config: ModelConfig, vocab: int, latent: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, config.embed)
        # Tied with the softmax, so its rows must start small for the first logits to be near 0.
        nn.init.normal_(self.embedding.weight, std=config.embed**-0.5)
        self.decoder = Decoder(config, vocab, latent)

    def nats(
        self,
        tokens: Tensor,
        lengths: Tensor,
        latents: Tensor | None,
        dropped: Dropped | None = None,
    ) -> Tensor:
        """(batch, time), (batch,), (batch, latent) -> (batch,) nats of sentences and their ends."""
        targets = targets_of(tokens, lengths)
        inputs = tokens[:, :-1]
        if dropped:
            inputs = drop_words(inputs, dropped.decoder_words, dropped.generator)
        embedded = self.embedding(inputs)
        if dropped:
            embedded = drop_units(embedded, dropped.units, dropped.generator)
        hidden = self.decoder(embedded, latents)
        if dropped:
            hidden = drop_units(hidden, dropped.units, dropped.generator)
        # Only real tokens reach the softmax, most of the arithmetic of a step.
        written = hidden.flatten(0, 1)[targets.places]
        logits = functional.linear(written, self.embedding.weight, self.decoder.bias)
        token_nats = functional.cross_entropy(logits.float(), targets.ids, reduction="none")
        return token_nats.new_zeros(len(tokens)).index_add(0, targets.owner, token_nats)


class LanguageModel(Writer):
    """The decoder without a latent: the limit to beat, and the judge of fluency."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__(config, vocab, latent=0)


class SentenceVae(Writer):
    """Sentence -> posterior -> latent -> sentence."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__(config, vocab, config.latent)
        self.encoder = Encoder(config)

    def encode(self, tokens: Tensor, lengths: Tensor, dropped: Dropped | None = None) -> Posterior:
        """(batch, time), (batch,) -> Posterior of (batch, latent)."""
        if dropped:
            tokens = drop_words(tokens, dropped.encoder_words, dropped.generator)
        ahead = self.embedding(tokens)
        back = self.embedding(reverse(tokens, lengths))
        if dropped:
            both = drop_units(torch.cat([ahead, back], 1), dropped.units, dropped.generator)
            ahead, back = both.chunk(2, 1)
        return cast(Posterior, self.encoder(ahead, back, lengths))


def reset_decoder(model: SentenceVae, config: ModelConfig, seed: int) -> None:
    """Give the decoder new first weights; the encoder, and the embedding they share, stay.

    An encoder that learned with a decoder of its own already tells sentences apart when a new one
    begins to listen (Li et al. 2019, section 3.2).
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        fresh = Decoder(config, len(model.decoder.bias), config.latent)
    model.decoder.load_state_dict(fresh.state_dict())


def fold_batchnorm(model: SentenceVae) -> None:
    """Fold the BatchNorm of the means into the layer before it; the posterior stays the same."""
    norm = model.encoder.batchnorm
    if norm is None:
        return
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        model.encoder.mean.bias.copy_(
            (model.encoder.mean.bias - norm.running_mean) * scale + norm.bias
        )
        model.encoder.mean.weight.mul_(scale[:, None])
    model.encoder.batchnorm = None
