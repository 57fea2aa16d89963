"""Networks of the training benchmark that are built on torch alone: torch.nn.GRU and nn.Linear.

No forward pass of `textvae.model` runs here, and no C of ours.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from textvae.config.training import ModelConfig
from textvae.model.network import LOGVAR_RANGE, UNKNOWN
from textvae.text.tokenizer import BOS, PAD

SequenceLayout = Literal["padded", "packed"]
WORD_DROPOUT = 0.25
"""Share of the decoder's input words that Sentence-VAE replaces: it keeps three of four, as the
best VAEs of Bowman et al. 2016 do."""
EMBEDDING_DROPOUT = 0.5
"""Sentence-VAE's own default."""


class TorchEncoder(nn.Module):
    """A torch.nn.GRU in each direction; the posterior is read off their pooled states."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.forward_gru = nn.GRU(config.embed, config.hidden, batch_first=True)
        self.backward_gru = nn.GRU(config.embed, config.hidden, batch_first=True)
        self.mean = nn.Linear(6 * config.hidden, config.latent)
        self.logvar = nn.Linear(6 * config.hidden, config.latent)


class TorchDecoder(nn.Module):
    """A torch.nn.GRU; the latent enters its first state and every step."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__()
        self.gru = nn.GRU(config.embed + config.latent, config.hidden, batch_first=True)
        self.start = nn.Linear(config.latent, config.hidden)
        self.output = nn.Linear(config.hidden + config.latent, config.embed)
        self.bias = nn.Parameter(torch.zeros(vocab))


class TorchVae(nn.Module):
    """The sentence VAE by torch alone. Its parameters are named as SentenceVae's are, so that each
    loads the other's weights."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, config.embed)
        nn.init.normal_(self.embedding.weight, std=config.embed**-0.5)
        self.encoder = TorchEncoder(config)
        self.decoder = TorchDecoder(config, vocab)

    def posterior(
        self, tokens: Tensor, lengths: Tensor, layout: SequenceLayout
    ) -> tuple[Tensor, Tensor]:
        """(batch, time), (batch,) -> mean and logvar, (batch, latent) each, in float32."""
        pooled = []
        for gru, read in (
            (self.encoder.forward_gru, tokens),
            (self.encoder.backward_gru, _reverse_tokens(tokens, lengths)),
        ):
            states = _gru_states(gru, self.embedding(read), lengths, None, layout)
            real = (torch.arange(states.shape[1])[None, :] < lengths[:, None])[:, :, None]
            last = states[torch.arange(len(states)), lengths - 1]
            mean = (states * real).sum(1) / lengths[:, None].to(states.dtype)
            pooled += [last, mean, states.masked_fill(~real, -torch.inf).amax(1)]
        both = torch.cat(pooled, 1)
        logvar = self.encoder.logvar(both).float().clamp(*LOGVAR_RANGE)
        return self.encoder.mean(both).float(), logvar

    def outputs(
        self, tokens: Tensor, lengths: Tensor, latents: Tensor, layout: SequenceLayout
    ) -> Tensor:
        """(batch, time), (batch,), (batch, latent) -> (batch, time - 1, embed) for the softmax,
        padding included."""
        every_step = latents[:, None, :].expand(-1, tokens.shape[1] - 1, -1)
        inputs = torch.cat([self.embedding(tokens[:, :-1]), every_step], 2)
        start = torch.tanh(self.decoder.start(latents)).to(inputs.dtype)
        states = _gru_states(self.decoder.gru, inputs, lengths - 1, start, layout)
        return cast(Tensor, self.decoder.output(torch.cat([states, every_step], 2)))


def textbook_loss(
    model: TorchVae, tokens: Tensor, lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """(batch, time), (batch,) -> (), nats per sentence. Sequences are packed for the GRUs in the
    order of arrival, and the softmax is computed at padding too."""
    mean, logvar = model.posterior(tokens, lengths, "packed")
    latents = _sample(mean, logvar, generator)
    outputs = model.outputs(tokens, lengths, latents, "packed")
    logits = functional.linear(outputs, model.embedding.weight, model.decoder.bias)
    log_probs = functional.log_softmax(logits, 2).flatten(0, 1)
    nats = functional.nll_loss(
        log_probs, tokens[:, 1:].flatten(), ignore_index=PAD, reduction="sum"
    )
    return nats / len(tokens) + _kl(mean, logvar).sum() / len(tokens)


def good_loss(
    model: TorchVae, tokens: Tensor, lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """(batch, time), (batch,) -> (), nats per sentence. The batch is trimmed to its longest
    sentence, and only real tokens reach the softmax. Autocast, if any, is the caller's."""
    mean, logvar = model.posterior(tokens, lengths, "padded")
    latents = _sample(mean, logvar, generator)
    real = tokens[:, 1:] != PAD
    outputs = model.outputs(tokens, lengths, latents, "padded")[real]
    logits = functional.linear(outputs, model.embedding.weight, model.decoder.bias)
    nats = functional.cross_entropy(logits.float(), tokens[:, 1:][real], reduction="sum")
    return nats / len(tokens) + _kl(mean, logvar).sum() / len(tokens)


class PublishedVae(nn.Module):
    """The VAE of github.com/timbmg/Sentence-VAE with its defaults: one encoder direction whose last
    state gives the posterior, a latent that enters the first state alone, and a softmax whose
    weights are its own and read the decoder's state.

    Of SentenceVae's sizes it has more parameters (8.8 million for 6.3 at full size), for its
    softmax multiplies with 512 columns and shares none of them with the embedding.
    """

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, config.embed)
        self.dropout = nn.Dropout(EMBEDDING_DROPOUT)
        self.encoder = nn.GRU(config.embed, config.hidden, batch_first=True)
        self.mean = nn.Linear(config.hidden, config.latent)
        self.logvar = nn.Linear(config.hidden, config.latent)
        self.start = nn.Linear(config.latent, config.hidden)
        self.decoder = nn.GRU(config.embed, config.hidden, batch_first=True)
        self.output = nn.Linear(config.hidden, vocab)

    def drop_words(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, time) -> the same with a share of the words unknown, while training."""
        if not self.training:
            return tokens
        unknown = torch.rand(tokens.shape, generator=generator) < WORD_DROPOUT
        return tokens.masked_fill(unknown & (tokens != BOS) & (tokens != PAD), UNKNOWN)


def published_loss(
    model: PublishedVae, tokens: Tensor, lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """(batch, time), (batch,) -> (), nats per sentence: sentences sorted by length and packed for
    both GRUs, log-probabilities of the whole vocabulary at padding too, in the order of arrival
    again, and one KL of the batch."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    by_length, order = torch.sort(lengths - 1, descending=True)
    inputs = inputs[order]
    packed = pack_padded_sequence(model.embedding(inputs), by_length.tolist(), batch_first=True)
    last = model.encoder(packed)[1][0]
    mean, logvar = model.mean(last), model.logvar(last)
    start = model.start(_sample(mean, logvar, generator))
    read = model.dropout(model.embedding(model.drop_words(inputs, generator)))
    packed = pack_padded_sequence(read, by_length.tolist(), batch_first=True)
    states, _ = pad_packed_sequence(model.decoder(packed, start[None])[0], batch_first=True)
    states = states.contiguous()[torch.argsort(order)]
    log_probs = functional.log_softmax(model.output(states.flatten(0, 1)), 1)
    nats = functional.nll_loss(log_probs, targets.flatten(), ignore_index=PAD, reduction="sum")
    return (nats + _kl(mean, logvar).sum()) / len(tokens)


def _gru_states(
    gru: nn.GRU, inputs: Tensor, lengths: Tensor, start: Tensor | None, layout: SequenceLayout
) -> Tensor:
    """(batch, time, width), (batch,), (batch, hidden) or None for zeros -> (batch, time, hidden),
    any values at padding."""
    first = None if start is None else start[None]
    if layout == "padded":
        return cast(Tensor, gru(inputs, first)[0])
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(gru(packed, first)[0], batch_first=True)[0]


def _reverse_tokens(tokens: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time), (batch,) -> (batch, time): real tokens in reverse, padding in place."""
    positions = torch.arange(tokens.shape[1])[None, :]
    reverse = lengths[:, None] - 1 - positions
    return tokens.gather(1, torch.where(reverse >= 0, reverse, positions))


def _sample(mean: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """(batch, latent) twice -> (batch, latent): z = mu + sigma * epsilon, epsilon from N(0, I)."""
    return mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=generator)


def _kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """(batch, latent) twice -> (batch, latent) nats: KL(q(z|x) || N(0, I)) by dimension,
    1/2 * (mu^2 + sigma^2 - 1 - log sigma^2)."""
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar)
