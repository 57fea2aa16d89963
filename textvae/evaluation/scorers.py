"""Judges of text, every one trained here and pinned, so that a figure can be had again.

A language model that learns from any sentences, a naive Bayes judge of labels, and a classifier
that tries to tell samples from real text. Words are runs without white space, for real text and
samples alike; a perplexity is per word, the end of a sentence counted as one.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from torch import Tensor
from torch.nn import functional

from textvae.config.training import ModelConfig
from textvae.errors import DataError
from textvae.model.network import DropoutSpec, LanguageModel
from textvae.model.tensors import tensors_of
from textvae.text.batches import Batch, Batches, gather, store_tokens
from textvae.text.tokenizer import BOS, EOS, Tokenizer

ROWS = 256
VALIDATIONS = 10
"""Times that a judge in training is tried on held-out text, evenly spaced."""
CLIP = 5.0
LEARNING_RATE_END = 0.1
"""Share of the peak that the learning rate has left at the last step."""
WORD = r"\S+"
NATS_MAX = 700.0
"""Of one word; float64 ends at e to the 709."""


@dataclass(frozen=True)
class ScorerConfig:
    """How a language-model judge learns; two figures compare only under the same settings."""

    embed: int = 128
    """Width of a token embedding, shared by input and softmax."""
    hidden: int = 256
    """Width of the GRU's state."""
    dropout: float = 0.2
    """Share of embedding and output units dropped while training, 0 to 0.9."""
    steps: int = 3000
    """Optimizer steps."""
    batch: int = 128
    """Sentences a step."""
    tokens_max: int = 128
    """Longest sentence learned from, in tokens; a longer one is cut."""
    learning_rate: float = 2e-3
    """Peak step size of Adam; falls along half a cosine to a tenth."""
    seed: int = 0
    """Seed of first weights, batches and dropout."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the judge learns; all chance is drawn on the CPU."""


def sample_language_model(
    model: LanguageModel,
    count: int,
    tokens_max: int,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> list[list[int]]:
    """`count` ancestral samples as token ids, without BOS and EOS.

    A sample that has not ended after `tokens_max` ids is cut there. PAD, BOS and UNK are never
    written, as the engine never writes them. `generator` is of the CPU, `temperature` above 0.
    """
    assert temperature > 0, f"temperature must be above 0, got {temperature}"
    found: list[list[int]] = []
    for first in range(0, count, ROWS):
        rows = min(ROWS, count - first)
        found += _sample_rows(model, rows, tokens_max, generator, temperature)
    return found


@torch.no_grad()
def _sample_rows(
    model: LanguageModel,
    rows: int,
    tokens_max: int,
    generator: torch.Generator,
    temperature: float,
) -> list[list[int]]:
    """That many samples, written side by side; rows that have ended are computed no more."""
    device = model.embedding.weight.device
    barred = torch.tensor(Tokenizer.forbidden, device=device)
    written: list[list[int]] = [[] for _ in range(rows)]
    running = torch.arange(rows)
    tokens = torch.full((rows,), BOS, device=device)
    state: Tensor | None = None
    for _ in range(tokens_max):
        # For all rows, ended or not, so that no row's numbers depend on when another ends.
        uniforms = torch.rand(rows, generator=generator, dtype=torch.float64)[running]
        hidden, state = model.decoder.gru(model.embedding(tokens)[:, None], state)
        output = model.decoder.output(hidden[:, 0])
        logits = functional.linear(output, model.embedding.weight, model.decoder.bias).double()
        logits[:, barred] = -torch.inf
        tokens = _draw_ids(torch.softmax(logits / temperature, 1), uniforms.to(device))
        going = (tokens != EOS).cpu()
        running = running[going]
        kept = going.to(device)
        tokens, state = tokens[kept], state[:, kept].contiguous()
        for row, token in zip(running.tolist(), tokens.tolist(), strict=True):
            written[row].append(token)
        if not len(running):
            break
    return written


def _draw_ids(mass: Tensor, uniforms: Tensor) -> Tensor:
    """(rows, vocab) probabilities and (rows,) numbers in [0, 1) -> (rows,) ids, by inverse CDF."""
    edges = mass.cumsum(1)
    places = torch.searchsorted(edges, uniforms[:, None] * edges[:, -1:], right=True).squeeze(1)
    # Rounding may put a number on the last edge, past the last id with any mass.
    last = (edges < edges[:, -1:]).sum(1)
    return torch.minimum(places, last)


def sentence_nats(
    model: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str], tokens_max: int
) -> np.ndarray:
    """(n,) nats of each text and its end, in the order given.

    Of the tokenizer's own segmentation of a text: an upper bound of the nats of its characters. A
    text longer than `tokens_max` tokens loses its end, and the nats are of what is left.
    """
    store = store_tokens(tokenizer.encode(list(texts)), tokens_max).store
    # Sorted by length, so that little is computed on padding.
    order = np.argsort(np.diff(store.offsets), kind="stable")
    nats = np.empty(len(order))
    for first in range(0, len(order), ROWS):
        rows = order[first : first + ROWS]
        with torch.no_grad():
            nats[rows] = model.nats(*_tensors(gather(store, rows), model), None).cpu().numpy()
    return nats


def perplexity_per_word(nats: np.ndarray, texts: Sequence[str]) -> float:
    """exp(total nats / (words + sentences)): (n,) nats and their n texts, which may be empty."""
    words = sum(len(text.split()) for text in texts)
    return math.exp(min(NATS_MAX, float(nats.sum()) / (words + len(texts))))


def train_scorer(
    texts: Sequence[str],
    valid_texts: Sequence[str],
    tokenizer: Tokenizer,
    config: ScorerConfig,
    on_progress: Callable[[int, int], None] = lambda done, steps: None,
) -> LanguageModel:
    """A language model of the texts, on `config.device`; nothing of it is written to disk.

    Of the weights at ten evenly spaced steps those are kept that know `valid_texts` best, for few
    texts are soon learned by heart; without any the last are. `on_progress` hears steps done and in
    all.
    """
    store = store_tokens(tokenizer.encode(list(texts)), config.tokens_max).store
    batches = Batches(store, config.batch, config.seed)
    model = _initial_model(tokenizer.vocab, config)
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    dropped = DropoutSpec(config.dropout, 0.0, 0.0, generator)
    looks = {config.steps * look // VALIDATIONS for look in range(1, VALIDATIONS + 1)}
    best_nats, best = math.inf, None
    for step in range(config.steps):
        batch = batches.at(*divmod(step, batches.per_epoch))
        fallen = 0.5 * (1 + math.cos(math.pi * step / config.steps))
        rate = config.learning_rate * (LEARNING_RATE_END + (1 - LEARNING_RATE_END) * fallen)
        _descend(model, optimizer, batch, rate, dropped)
        on_progress(step + 1, config.steps)
        if valid_texts and step + 1 in looks:
            nats = float(sentence_nats(model, tokenizer, valid_texts, config.tokens_max).mean())
            if nats < best_nats:
                best_nats, best = nats, copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(best)
    return model.eval()


def _initial_model(vocab: int, config: ScorerConfig) -> LanguageModel:
    """A language model with first weights of the seed; torch's own state stays as it was."""
    sizes = ModelConfig(embed=config.embed, hidden=config.hidden, dropout=config.dropout)
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        return LanguageModel(sizes, vocab).to(config.device)


def _descend(
    model: LanguageModel,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rate: float,
    dropped: DropoutSpec,
) -> None:
    """One step of the optimizer on a batch, in nats per sentence."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss = model.mean_nats(*_tensors(batch, model), None, dropped)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()


def _tensors(batch: Batch, model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Tokens (batch, time) and lengths (batch,) where the model is."""
    return tensors_of(batch, model.embedding.weight.device)


class LabelClassifier:
    """What a sentence is, by multinomial naive Bayes on counts of its words and word pairs."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Learns at once. Raises DataError where there is no word or no second label."""
        assert len(texts) == len(labels), f"got {len(texts)} texts, {len(labels)} labels"
        if len(set(labels)) < 2:
            raise DataError(f"labels: at least 2 different ones are needed, got {set(labels)}")
        self._counter = _word_counter(texts)
        self._bayes = MultinomialNB().fit(self._counter.transform(texts), list(labels))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text."""
        return [str(label) for label in self._bayes.predict(self._counter.transform(texts))]

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> float:
        """Share of the texts whose likeliest label is the one given."""
        pairs = zip(self.predict(texts), labels, strict=True)
        return sum(said == label for said, label in pairs) / len(texts)


def adversarial_error(real: Sequence[str], sampled: Sequence[str], seed: int) -> float:
    """Error, 0 to 1, of a classifier that tells real from sampled: 0.5 where it cannot, 0 where
    every sample gives itself away.

    Logistic regression on which words and word pairs a text has, learned from half of each kind
    and tried on the other half; of both kinds as many as there are of the rarer, drawn by `seed`.
    After the adversarial evaluation of Bowman et al. 2016, who report 0.5 minus this.
    DataError unless there are two of each kind and a word among them.
    """
    half = min(len(real), len(sampled)) // 2
    if half < 1:
        given = f"got {len(real)} real and {len(sampled)} sampled"
        raise DataError(f"adversarial error: at least 2 sentences of each kind are needed, {given}")
    random = np.random.default_rng(seed)
    known, unknown = [], []
    for texts in (real, sampled):
        drawn = random.permutation(len(texts))[: 2 * half]
        known += [texts[place] for place in drawn[:half]]
        unknown += [texts[place] for place in drawn[half:]]
    is_sample = np.repeat([False, True], half)
    counter = _word_counter(known, binary=True)
    judge = LogisticRegression(max_iter=1000).fit(counter.transform(known), is_sample)
    return float(np.mean(judge.predict(counter.transform(unknown)) != is_sample))


def _word_counter(texts: Sequence[str], binary: bool = False) -> Any:
    """What counts the words and word pairs of these texts, or says which there are (`binary`)."""
    if not any(text.split() for text in texts):
        raise DataError("judge: no text has a word; at least one is needed")
    # Case stays: a sampler that forgets it should be found out.
    counter = CountVectorizer(
        token_pattern=WORD, ngram_range=(1, 2), lowercase=False, binary=binary
    )
    return counter.fit(texts)
