"""Benchmarks of the network as it is served, against a textbook implementation by torch alone."""

import os
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from textvae.benchmarks.arms import (
    Arm,
    Result,
    describe_machine,
    gemm_peak,
    measure_arms,
    random_sentences,
    read_peak,
    time_interleaved,
)
from textvae.benchmarks.training_arms import TorchVae
from textvae.config.training import ModelConfig
from textvae.decode.pick import Picking, pick
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.load import LoadedVersion
from textvae.model.exact import ExactDecoder, ExactEncoder, bucket_of, pad_rows
from textvae.model.network import SentenceVae
from textvae.model.products import Linear
from textvae.text.batches import batch_of
from textvae.text.tokenizer import Tokenizer

VOCAB = 8192
STEPS = 24
TOP_K_SHARE_MAX = 0.5


class Sizes(NamedTuple):
    """How large a benchmark is."""

    config: ModelConfig
    vocab: int
    sentences: int
    rounds: int


def sizes_of(quick: bool) -> Sizes:
    """Return the sizes that the targets are for, or small ones."""
    if quick:
        return Sizes(ModelConfig(embed=64, hidden=128, latent=16), 1000, 64, 3)
    return Sizes(ModelConfig(), VOCAB, 1024, 7)


def bench_encode(quick: bool) -> Result:
    """Encode sentences of all lengths: torch.nn.GRU over packed batches of 128 in the order of
    arrival, against the exact encoder on sentences by length; both in fp32, with their relative
    difference."""
    sizes = sizes_of(quick)
    torch.manual_seed(0)
    model = SentenceVae(sizes.config, sizes.vocab).eval()
    ids = random_sentences(sizes.sentences, sizes.vocab)
    by_torch = TorchVae(sizes.config, sizes.vocab)
    by_torch.load_state_dict(model.state_dict())
    with torch.inference_mode():
        exact = _served_version(model)

        def textbook() -> Tensor:
            batches = (ids[first : first + 128] for first in range(0, len(ids), 128))
            return torch.cat([_packed_means(by_torch, batch) for batch in batches])

        def ours() -> Tensor:
            return torch.from_numpy(exact.posteriors(ids).mean)

        expected = textbook()
        error = float((ours() - expected).norm() / expected.norm())
        result = measure_arms(
            "encode",
            "sentences",
            Arm("textbook", lambda: len(textbook())),
            Arm("exact", lambda: len(ours())),
            sizes.rounds,
            3.5,
        )
    figures = {**result.figures, "relative_error": error}
    targets = {**result.targets, "relative_error": 1e-6}
    return result._replace(
        figures=figures, targets=targets, held=result.held and error <= targets["relative_error"]
    )


def _served_version(model: SentenceVae) -> LoadedVersion:
    """Return the network in the arithmetic that the self-test chooses here."""
    return check_batch_invariance(_load_network(model)).loaded


def _load_network(model: SentenceVae) -> LoadedVersion:
    """Return the network as a version without a tokenizer: requests are token ids."""
    no_tokenizer = cast(Tokenizer, None)
    return LoadedVersion(
        no_tokenizer, ExactEncoder(model), ExactDecoder(model), model.decoder.latent, None
    )


def _packed_means(model: TorchVae, ids: list[list[int]]) -> Tensor:
    """Return the posterior means, (sentences, latent), of one packed batch."""
    batch = batch_of(ids)
    tokens, lengths = torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)
    return model.posterior(tokens, lengths, "packed")[0]


def bench_decode(quick: bool) -> Result:
    """Decode one sentence and 32 greedily: a loop over GRUCell, at its better number of threads,
    against the exact decoder in fp32 and, where the C library supports it, in int8; and measure
    the share of a step that sampling by top-k takes."""
    sizes, load_before = sizes_of(quick), os.getloadavg()[0]
    torch.manual_seed(0)
    model = SentenceVae(sizes.config, sizes.vocab).eval()
    figures: dict[str, float] = {"rounds": float(sizes.rounds)}
    with torch.inference_mode():
        exact = _served_version(model)
        arms = {"fp32": exact}
        reduced = check_batch_invariance(_load_network(model), int8=True)
        if reduced.precision == "int8":
            arms["int8"] = reduced.loaded
        for rows in (1, 32):
            figures |= _decode_speeds(model, rows, arms, sizes)
        figures["top_k_share_of_a_step"] = _sampling_share(exact, sizes)
    # The weights of a token are read from the cache; those of many rows are multiplied.
    weights = _step_weights(model)
    of_reading = 4 * weights * figures["fp32_tokens_per_s_at_1"] / read_peak(4 * weights)
    of_products = 2 * weights * figures["fp32_tokens_per_s_at_32"] / gemm_peak()
    figures |= {"fp32_limit_share_at_1": of_reading, "fp32_limit_share_at_32": of_products}
    floors = {"fp32_ratio_at_1": 4.5, "fp32_ratio_at_32": 3.5, "int8_ratio_at_32": 8.5}
    held = all(figures.get(name, 0.0) >= floor for name, floor in floors.items())
    held = held and figures["top_k_share_of_a_step"] <= TOP_K_SHARE_MAX
    targets = {**floors, "top_k_share_of_a_step": TOP_K_SHARE_MAX}
    return Result("decode", describe_machine(), load_before, figures, targets, held)


def _decode_speeds(
    model: SentenceVae, rows: int, arms: dict[str, LoadedVersion], sizes: Sizes
) -> dict[str, float]:
    """Return the tokens a second of so many rows, of the textbook and of each arm, and the median
    ratios."""
    latents = torch.randn(rows, sizes.config.latent)
    textbook = _better_threads(Arm("textbook", _cell_loop(model, latents)))
    ours = [Arm(name, _exact_loop(loaded, latents)) for name, loaded in arms.items()]
    speeds = time_interleaved([textbook, *ours], sizes.rounds)
    figures = {f"{name}_tokens_per_s_at_{rows}": np.median(each) for name, each in speeds.items()}
    for name in arms:
        ratios = np.divide(speeds[name], speeds[textbook.name])
        figures[f"{name}_ratio_at_{rows}"] = np.median(ratios)
    return {name: float(value) for name, value in figures.items()}


def _step_weights(model: SentenceVae) -> int:
    """Return how many weights a step of the exact decoder multiplies with."""
    decoder = ExactDecoder(model)
    products = decoder.cell.recurrent, decoder.logits
    return sum(layer.weight.numel() for layer in products if isinstance(layer, Linear))


def _cell_loop(model: SentenceVae, latents: Tensor) -> Callable[[], int]:
    """Return a round of the textbook decoder: nn.GRUCell, a step at a time."""
    decoder, embedding = model.decoder, model.embedding.weight
    assert decoder.start is not None, "a VAE's decoder has a latent"
    start = decoder.start
    cell = nn.GRUCell(decoder.gru.input_size, decoder.gru.hidden_size)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        cell.get_parameter(name).copy_(decoder.gru.get_parameter(f"{name}_l0"))

    def run() -> int:
        state = torch.tanh(start(latents))
        tokens = torch.ones(len(latents), dtype=torch.long)
        for _ in range(STEPS):
            state = cell(torch.cat([embedding[tokens], latents], 1), state)
            outputs = decoder.output(torch.cat([state, latents], 1))
            tokens = functional.linear(outputs, embedding, decoder.bias).argmax(1)
        return STEPS * len(latents)

    return run


def _exact_loop(exact: LoadedVersion, latents: Tensor) -> Callable[[], int]:
    """Return a round of the decoder as it is served."""
    size = bucket_of(len(latents), exact.buckets)

    def run() -> int:
        state = exact.decoder.start(pad_rows(latents, size))
        tokens = torch.ones(size, dtype=torch.long)
        for _ in range(STEPS):
            logits, state = exact.decoder.step(tokens, state)
            tokens = logits.argmax(1)
        return STEPS * len(latents)

    return run


def _better_threads(arm: Arm) -> Arm:
    """Return the arm at one thread or at all, whichever was faster in a trial."""
    threads_max = torch.get_num_threads()

    def run_at(threads: int) -> Callable[[], int]:
        def run() -> int:
            torch.set_num_threads(threads)
            try:
                return arm.run()
            finally:
                torch.set_num_threads(threads_max)

        return run

    one, every = Arm("one", run_at(1)), Arm("all", run_at(threads_max))
    trial = measure_arms("threads", "units", one, every, 2, 1.0)
    return Arm(arm.name, run_at(threads_max if trial.held else 1))


def _sampling_share(exact: LoadedVersion, sizes: Sizes) -> float:
    """Return the time of sampling 32 tokens by temperature and top-k 50, over their step's."""
    rows, decoder = 32, exact.decoder
    state = decoder.start(torch.randn(rows, sizes.config.latent))
    tokens = torch.ones(rows, dtype=torch.long)
    logits, _ = decoder.step(tokens, state)
    picking = Picking(np.ones(rows), np.full(rows, 50), np.ones(rows), np.zeros(rows))
    uniforms = np.random.default_rng(0).random(rows)

    def step() -> int:
        for _ in range(STEPS):
            decoder.step(tokens, state)
        return STEPS

    def sample() -> int:
        for _ in range(STEPS):
            pick(logits, picking, uniforms, exact.library)
        return STEPS

    result = measure_arms(
        "sampling", "steps", Arm("step", step), Arm("sample", sample), sizes.rounds, 2.0
    )
    return 1 / result.figures["ratio"]
