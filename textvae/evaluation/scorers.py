"""Scorers and classifiers of text, all trained here with fixed settings: figures are reproducible.

A language model that learns from any sentences, a naive Bayes classifier of labels, and a
classifier that separates samples from real text. Words are runs without white space, for real text
and samples alike; a perplexity is per word, the end of a sentence counted as one.
"""

import copy
import math
from collections.abc import Sequence
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
from textvae.progress import ProgressCallback, no_progress
from textvae.text.batches import Batch, Batches, gather, store_tokens
from textvae.text.tokenizer import BOS, EOS, Tokenizer

ROWS = 256
VALIDATIONS = 10
"""Validation steps of a scorer in training, evenly spaced."""
CLIP = 5.0
LEARNING_RATE_END = 0.1
"""Share of the peak that the learning rate has left at the last step."""
WORD = r"\S+"
NATS_MAX = 700.0
"""Limit of the nats per word, since exp(710) overflows float64."""


@dataclass(frozen=True)
class ScorerConfig:
    """How a language-model scorer learns; figures compare only under the same settings."""

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
    """Longest sentence learned from, in tokens; a longer one is truncated."""
    learning_rate: float = 2e-3
    """Peak step size of Adam; falls along half a cosine to a tenth."""
    seed: int = 0
    """Seed of initial weights, batches and dropout."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the scorer learns; all random numbers are drawn on the CPU."""


def sample_language_model(
    model: LanguageModel,
    count: int,
    tokens_max: int,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> list[list[int]]:
    """Return `count` ancestral samples as token ids, without BOS and EOS.

    A sample that has not ended after `tokens_max` ids is truncated. PAD, BOS and UNK have no mass,
    as in the engine. `generator` is of the CPU, `temperature` above 0.
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
    """Draw `rows` samples in one batch; rows that have ended leave it."""
    device = model.embedding.weight.device
    forbidden = torch.tensor(Tokenizer.forbidden, device=device)
    samples: list[list[int]] = [[] for _ in range(rows)]
    running = torch.arange(rows)
    tokens = torch.full((rows,), BOS, device=device)
    state: Tensor | None = None
    for _ in range(tokens_max):
        # For all rows, ended or not, so that no row's numbers depend on when another ends.
        uniforms = torch.rand(rows, generator=generator, dtype=torch.float64)[running]
        hidden, state = model.decoder.gru(model.embedding(tokens)[:, None], state)
        output = model.decoder.output(hidden[:, 0])
        logits = functional.linear(output, model.embedding.weight, model.decoder.bias).double()
        logits[:, forbidden] = -torch.inf
        tokens = _draw_ids(torch.softmax(logits / temperature, 1), uniforms.to(device))
        unfinished = tokens != EOS
        running = running[unfinished.cpu()]
        tokens, state = tokens[unfinished], state[:, unfinished].contiguous()
        for row, token in zip(running.tolist(), tokens.tolist(), strict=True):
            samples[row].append(token)
        if not len(running):
            break
    return samples


def _draw_ids(mass: Tensor, uniforms: Tensor) -> Tensor:
    """Draw ids by inverse CDF: (rows, vocab) probabilities, (rows,) uniforms in [0, 1) -> (rows,)
    ids."""
    edges = mass.cumsum(1)
    ids = torch.searchsorted(edges, uniforms[:, None] * edges[:, -1:], right=True).squeeze(1)
    # Rounding may put a number on the last edge, past the last id with any mass.
    last = (edges < edges[:, -1:]).sum(1)
    return torch.minimum(ids, last)


def sentence_nats(
    model: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str], tokens_max: int
) -> np.ndarray:
    """Return the (n,) nats of each text and its end, in the caller's order.

    They are of the tokenizer's own segmentation, an upper bound of the nats of the characters. A
    text of more than `tokens_max` tokens is truncated.
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
    """Return exp(total nats / (words + sentences)) of n texts, which may be empty, and their (n,)
    nats."""
    words = sum(len(text.split()) for text in texts)
    return math.exp(min(NATS_MAX, float(nats.sum()) / (words + len(texts))))


def train_scorer(
    texts: Sequence[str],
    valid_texts: Sequence[str],
    tokenizer: Tokenizer,
    config: ScorerConfig,
    what: str = "scorer",
    on_progress: ProgressCallback = no_progress,
) -> LanguageModel:
    """Train a language model of the texts on `config.device`; nothing of it is saved.

    The weights are those of the validation step with the fewest nats of `valid_texts`, since few
    texts are soon memorized; without such texts the last ones. `what` names the work for
    `on_progress`.
    """
    store = store_tokens(tokenizer.encode(list(texts)), config.tokens_max).store
    batches = Batches(store, config.batch, config.seed)
    model = _initial_model(tokenizer.vocab, config)
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    dropout = DropoutSpec(config.dropout, 0.0, 0.0, generator)
    validation_steps = {config.steps * count // VALIDATIONS for count in range(1, VALIDATIONS + 1)}
    best_nats, best = math.inf, None
    for step in range(config.steps):
        batch = batches.at(*divmod(step, batches.per_epoch))
        cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
        rate = config.learning_rate * (LEARNING_RATE_END + (1 - LEARNING_RATE_END) * cosine)
        _descend(model, optimizer, batch, rate, dropout)
        on_progress(what, step + 1, config.steps)
        if valid_texts and step + 1 in validation_steps:
            nats = float(sentence_nats(model, tokenizer, valid_texts, config.tokens_max).mean())
            if nats < best_nats:
                best_nats, best = nats, copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(best)
    return model.eval()


def _initial_model(vocab: int, config: ScorerConfig) -> LanguageModel:
    """Return a language model with initial weights of the seed; torch's own state stays."""
    sizes = ModelConfig(embed=config.embed, hidden=config.hidden, dropout=config.dropout)
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        return LanguageModel(sizes, vocab).to(config.device)


def _descend(
    model: LanguageModel,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rate: float,
    dropout: DropoutSpec,
) -> None:
    """Take one step of the optimizer on a batch; the loss is in nats per sentence."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss = model.mean_nats(*_tensors(batch, model), None, dropout)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()


def _tensors(batch: Batch, model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Return tokens (batch, time) and lengths (batch,) on the model's device."""
    return tensors_of(batch, model.embedding.weight.device)


class LabelClassifier:
    """A classifier of sentences: multinomial naive Bayes on counts of words and word pairs."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Fit the classifier. Raises DataError where there is no word or no second label."""
        assert len(texts) == len(labels), f"got {len(texts)} texts, {len(labels)} labels"
        if len(set(labels)) < 2:
            raise DataError(f"labels: at least 2 different ones are needed, got {set(labels)}")
        self._counter = _word_counter(texts)
        self._bayes = MultinomialNB().fit(self._counter.transform(texts), list(labels))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the likeliest label of each text."""
        return [str(label) for label in self._bayes.predict(self._counter.transform(texts))]

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> float:
        """Return the share of texts whose likeliest label is the true one."""
        pairs = zip(self.predict(texts), labels, strict=True)
        return sum(predicted == label for predicted, label in pairs) / len(texts)


def adversarial_error(real: Sequence[str], sampled: Sequence[str], seed: int) -> float:
    """Return the error, 0 to 1, of a classifier that separates real from sampled sentences: 0.5
    where it cannot, 0 where it recognises every one.

    Logistic regression on which words and word pairs a text has, trained on half of each kind and
    tested on the other half; of both kinds as many as there are of the rarer, drawn by `seed`.
    After the adversarial evaluation of Bowman et al. 2016, who report 0.5 minus this.
    Raises DataError unless there are two of each kind and a word among them.
    """
    half = min(len(real), len(sampled)) // 2
    if half < 1:
        counts = f"got {len(real)} real and {len(sampled)} sampled"
        raise DataError(
            f"adversarial error: at least 2 sentences of each kind are needed, {counts}"
        )
    random = np.random.default_rng(seed)
    train, test = [], []
    for texts in (real, sampled):
        indices = random.permutation(len(texts))[: 2 * half]
        train += [texts[index] for index in indices[:half]]
        test += [texts[index] for index in indices[half:]]
    is_sample = np.repeat([False, True], half)
    counter = _word_counter(train, binary=True)
    classifier = LogisticRegression(max_iter=1000).fit(counter.transform(train), is_sample)
    return float(np.mean(classifier.predict(counter.transform(test)) != is_sample))


def _word_counter(texts: Sequence[str], binary: bool = False) -> Any:
    """Return a vectorizer of the words and word pairs of these texts: counts, or 0 and 1
    (`binary`)."""
    if not any(text.split() for text in texts):
        raise DataError("classifier: no text has a word; at least one is needed")
    # Case is significant: a sampler that forgets it must be recognised.
    counter = CountVectorizer(
        token_pattern=WORD, ngram_range=(1, 2), lowercase=False, binary=binary
    )
    return counter.fit(texts)
