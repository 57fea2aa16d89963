"""Encoder and decoder, the sentence VAE of both, and the language model of a decoder alone."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from textvae.config.training import ModelConfig
from textvae.model.native import native_to_learn
from textvae.model.posterior import Posterior
from textvae.model.recurrence import recurrence
from textvae.model.softmax import token_nats, total_nats

# Word dropout of encoder and decoder puts this id, which no sentence contains.
UNKNOWN = 3
# Keeps exp(logvar) and its inverse finite in float32 and bfloat16.
LOGVAR_RANGE = (-12.0, 4.0)


class Targets(NamedTuple):
    """The real tokens of a batch that the decoder predicts, in one row."""

    ids: Tensor
    """(tokens,) each sentence's tokens after begin, end included."""
    steps: Tensor
    """(tokens,) the step of its sentence that predicts each, 0 to time - 2."""
    owner: Tensor
    """(tokens,) the sentence of each token, 0 to batch - 1."""


def targets_of(tokens: Tensor, lengths: Tensor) -> Targets:
    """(batch, time), (batch,) -> the token after each real token."""
    following = tokens[:, 1:]
    time = following.shape[1]
    real = torch.arange(time, device=tokens.device)[None, :] < (lengths - 1)[:, None]
    owner, steps = real.nonzero(as_tuple=True)
    return Targets(following[owner, steps], steps, owner)


def reverse(tokens: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time), (batch,) -> (batch, time): real tokens backwards, padding unmoved."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)[None, :]
    backwards = lengths[:, None] - 1 - positions
    return tokens.gather(1, torch.where(backwards >= 0, backwards, positions))


class Encoder(nn.Module):
    """A GRU in each direction; the posterior is linear in the pooled states."""

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
        library = native_to_learn()
        both = (self.forward_gru, ahead), (self.backward_gru, back)
        states = [recurrence(gru, embedded, None, library) for gru, embedded in both]
        return self.posterior(torch.cat([pool(each, lengths) for each in states], 1))

    def posterior(self, pooled: Tensor) -> Posterior:
        """(batch, 6 * hidden) -> Posterior of (batch, latent), in float32."""
        mean = self.mean(pooled).float()
        if self.batchnorm is not None:
            mean = self.batchnorm(mean)
        return Posterior(mean, self.logvar(pooled).float().clamp(*LOGVAR_RANGE))


def pool(states: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time, hidden), (batch,) -> (batch, 3 * hidden): last, mean and largest real state."""
    positions = torch.arange(states.shape[1], device=states.device)
    real = (positions[None, :] < lengths[:, None])[:, :, None]
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

    def states(self, embedded: Tensor, latents: Tensor | None) -> Tensor:
        """(batch, time, embed), (batch, latent) or None -> (batch, time, hidden)."""
        if latents is None or self.start is None:
            return recurrence(self.gru, embedded, None, native_to_learn())
        every_step = latents[:, None, :].expand(-1, embedded.shape[1], -1).to(embedded.dtype)
        start = torch.tanh(self.start(latents)).to(embedded.dtype)
        both = torch.cat([embedded, every_step], 2)
        return recurrence(self.gru, both, start, native_to_learn())

    def outputs(self, states: Tensor, latents: Tensor | None, owner: Tensor) -> Tensor:
        """(rows, hidden), (batch, latent) or None, (rows,) each row's sentence -> (rows, embed)
        for the softmax."""
        hidden = self.gru.hidden_size
        if latents is None:
            return cast(Tensor, self.output(states))
        by_latent = functional.linear(latents, self.output.weight[:, hidden:], self.output.bias)
        # As a lookup: the derivative of by_latent[owner] is added up by threads in any order.
        each = functional.embedding(owner, by_latent)
        return functional.linear(states, self.output.weight[:, :hidden]) + each


class DropoutSpec(NamedTuple):
    """Shares of tokens and units dropped while the network trains, and the generator of both.

    The generator is the CPU's wherever the network is, so that one state replays a run.
    """

    units: float
    encoder_words: float
    decoder_words: float
    generator: torch.Generator


def drop_words(tokens: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(batch, time) -> (batch, time): a share of the tokens unknown; ids below 4 stay."""
    if share <= 0:
        return tokens
    hidden = (torch.rand(tokens.shape, generator=generator) < share).to(tokens.device)
    return tokens.masked_fill(hidden & (tokens > UNKNOWN), UNKNOWN)


def drop_units(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(batch, time, width) -> (batch, time, width): one mask a sentence for all its tokens (Gal &
    Ghahramani 2016, section 4)."""
    if share <= 0:
        return values
    return values * unit_mask(values, len(values), share, generator)[:, None]


def unit_mask(like: Tensor, batch: int, share: float, generator: torch.Generator) -> Tensor:
    """Return (batch, width) of `like`'s width: 0 for a share of the units, else 1 / (1 - share)."""
    retained = torch.rand(batch, like.shape[-1], generator=generator) >= share
    return retained.to(like.device, like.dtype) / (1 - share)


class TiedDecoder(nn.Module):
    """Embedding, decoder and the softmax tied to that embedding; `latent` 0: a language model."""

    def __init__(self, config: ModelConfig, vocab: int, latent: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, config.embed)
        # Tied with the softmax, so its rows must start small for the first logits to be near 0.
        nn.init.normal_(self.embedding.weight, std=config.embed**-0.5)
        self.decoder = Decoder(config, vocab, latent)

    def nats(self, tokens: Tensor, lengths: Tensor, latents: Tensor | None) -> Tensor:
        """(batch, time), (batch,), (batch, latent) -> (batch,) nats of sentences and their ends."""
        targets = targets_of(tokens, lengths)
        outputs = self._outputs(tokens, targets, latents, None)
        each = token_nats(outputs, self.embedding.weight, self.decoder.bias, targets.ids)
        return each.new_zeros(len(tokens)).index_add(0, targets.owner, each)

    def mean_nats(
        self, tokens: Tensor, lengths: Tensor, latents: Tensor | None, dropout: DropoutSpec
    ) -> Tensor:
        """As `nats`, with words and units dropped -> (), the mean, which has a gradient."""
        targets = targets_of(tokens, lengths)
        outputs = self._outputs(tokens, targets, latents, dropout)
        weight, bias = self.embedding.weight, self.decoder.bias
        total = total_nats(outputs, weight, bias, targets.ids, native_to_learn())
        return total / len(tokens)

    def _outputs(
        self, tokens: Tensor, targets: Targets, latents: Tensor | None, dropout: DropoutSpec | None
    ) -> Tensor:
        """(batch, time), (batch, latent) -> (tokens, embed): only real tokens reach the softmax."""
        inputs = tokens[:, :-1]
        if dropout:
            inputs = drop_words(inputs, dropout.decoder_words, dropout.generator)
        embedded = self.embedding(inputs)
        if dropout:
            embedded = drop_units(embedded, dropout.units, dropout.generator)
        states = self.decoder.states(embedded, latents)[targets.owner, targets.steps]
        outputs = self.decoder.outputs(states, latents, targets.owner)
        if dropout and dropout.units > 0:
            mask = unit_mask(outputs, len(tokens), dropout.units, dropout.generator)
            outputs = outputs * mask[targets.owner]
        return outputs


class LanguageModel(TiedDecoder):
    """The decoder without a latent: the baseline of the VAE, and the scorer of fluency."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__(config, vocab, latent=0)


class SentenceVae(TiedDecoder):
    """Sentence -> posterior -> latent -> sentence."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__(config, vocab, config.latent)
        self.encoder = Encoder(config)

    def encode(
        self, tokens: Tensor, lengths: Tensor, dropout: DropoutSpec | None = None
    ) -> Posterior:
        """(batch, time), (batch,) -> Posterior of (batch, latent)."""
        if dropout:
            tokens = drop_words(tokens, dropout.encoder_words, dropout.generator)
        ahead = self.embedding(tokens)
        back = self.embedding(reverse(tokens, lengths))
        if dropout:
            both = drop_units(torch.cat([ahead, back], 1), dropout.units, dropout.generator)
            ahead, back = both.chunk(2, 1)
        return cast(Posterior, self.encoder(ahead, back, lengths))


def reset_decoder(model: SentenceVae, config: ModelConfig, seed: int) -> None:
    """Initialize the decoder again; the encoder, and the embedding they share, stay.

    An encoder that was trained with another decoder already separates sentences when a new one
    begins to use the latent (Li et al. 2019, section 3.2).
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        fresh = Decoder(config, len(model.decoder.bias), config.latent)
    model.decoder.load_state_dict(fresh.state_dict())


@torch.no_grad()
def initialize_from_language_model(model: SentenceVae, language_model: LanguageModel) -> None:
    """Copy the language model's weights to the VAE; the decoder's weights of the latent become 0.

    The decoder has the language model's probabilities, whatever the latent, and learns from there
    to use it; meanwhile the KL needs a target or free bits.
    """
    for name, value in model.state_dict().items():
        if name.startswith("encoder."):
            continue
        value.zero_()
        if name in (source := language_model.state_dict()):
            # The latent's columns are the last, and the language model has none.
            value[..., : source[name].shape[-1]] = source[name]


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
