"""Benchmarks through a real server: cancelled calls, and many sentences in one call.

The version that serves has random weights of full size, which end a sentence at every step with the
same probability: so lengths are geometric, 15 tokens in the mean, and no training is needed. The
load comes from this process.
"""

import asyncio
import contextlib
import itertools
import math
import os
import time
import timeit
from pathlib import Path
from statistics import median

import numpy as np
import torch
from safetensors.torch import save

from textvae import files
from textvae.benchmarks.arms import Arm, Result, describe_machine, measure_arms
from textvae.client import AsyncClient, Client
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig
from textvae.model.network import LanguageModel, SentenceVae
from textvae.options import Options
from textvae.release.smoke_test import run_server
from textvae.settings import to_mapping
from textvae.store.promotions import promote
from textvae.store.versions import Version, publish
from textvae.text.tokenizer import EOS, Tokenizer, train_tokenizer
from textvae.version_files import LANGUAGE_MODEL_FILE, TOKENIZER_FILE, VAE_FILE
from textvae.wire import latents_message

MODEL = "bench"
ROWS = 8
"""Sentences of a call."""
CALLERS = 24
"""Three times the rows that have a slot."""
MEAN_TOKENS = 15
CANCEL_AFTER_S_MAX = 0.2
START_S = 120.0
SAMPLING = Options(temperature=1.0, tokens_max=60)


def publish_random_version(registry: Path, quick: bool) -> Version:
    """Publish a version with random weights, promote it and return it."""
    config = ModelConfig(embed=64, hidden=128, latent=16) if quick else ModelConfig()
    tokenizer_config = TokenizerConfig(vocab=1000 if quick else 8192, kind="bpe")
    tokenizer = train_tokenizer(random_texts(tokenizer_config.vocab), tokenizer_config)
    torch.manual_seed(0)
    vocab = Tokenizer(tokenizer).vocab
    model, language_model = SentenceVae(config, vocab), LanguageModel(config, vocab)
    with torch.no_grad():
        model.decoder.bias[EOS] = math.log(vocab / MEAN_TOKENS)
    contents = {
        VAE_FILE: save(model.state_dict()),
        LANGUAGE_MODEL_FILE: save(language_model.state_dict()),
        TOKENIZER_FILE: tokenizer,
    }
    version = publish(registry, MODEL, "20260101", contents, {"model_config": to_mapping(config)})
    promote(
        registry,
        MODEL,
        version,
        expected=0,
        reason="bench",
        actor="bench",
        at="2026-01-01T00:00:00Z",
    )
    return version


def random_texts(count: int) -> list[str]:
    """Return sentences of 12 random words by Zipf's law, so that frequent words become tokens."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 9, 24_000)]
    weights = 1 / np.arange(1, len(words) + 1)
    chosen = random.choice(words, (count, 12), p=weights / weights.sum())
    return [" ".join(row) for row in chosen]


def bench_cancels(quick: bool) -> Result:
    """Measure what half of the callers get when the other half cancels its calls, over what they
    get when the other half waits for its answers."""
    load_before, seconds, rounds = os.getloadavg()[0], 1.0 if quick else 15.0, 2 if quick else 8
    with files.scratch_folder() as registry:
        publish_random_version(registry, quick)
        with run_server(registry, MODEL, START_S, "--threads", "1") as address:
            speeds = []
            for number in range(rounds):
                # Each goes first as often as the other: the second is slower by some percent.
                order = (False, True) if number % 2 else (True, False)
                speed = {
                    cancels: asyncio.run(half_load(address, seconds, cancels=cancels))
                    for cancels in order
                }
                speeds.append((speed[False], speed[True]))
    figures = {
        "with_waiting_callers_tokens_per_s": median(row[0] for row in speeds),
        "with_cancelling_callers_tokens_per_s": median(row[1] for row in speeds),
        "ratio": median(row[1] / row[0] for row in speeds),
        "rounds": float(rounds),
    }
    held = figures["ratio"] >= 0.95
    return Result("cancels", describe_machine(), load_before, figures, {"ratio": 0.95}, held)


def bench_bulk(quick: bool) -> Result:
    """Encode many sentences by one call of the client, against a call for each; and time how 64
    latents of 256 become a message."""
    rows = np.random.default_rng(0).standard_normal((64, 256), np.float32)
    count = 2000
    took_s = min(timeit.repeat(lambda: latents_message(rows, "v"), number=count, repeat=5))
    with files.scratch_folder() as registry:
        publish_random_version(registry, quick)
        texts = random_texts(100 if quick else 1000)
        with run_server(registry, MODEL, START_S) as address, Client(address, 600.0) as client:

            def one_by_one() -> int:
                return sum(len(client.encode([text]).mean.values) for text in texts)

            def at_once() -> int:
                return len(client.encode(texts).mean.values)

            arms = Arm("one_by_one", one_by_one), Arm("at_once", at_once)
            result = measure_arms("bulk", "sentences", *arms, 2 if quick else 7, 10.0)
    took_us = 1e6 * took_s / count
    return result._replace(
        figures={**result.figures, "latents_64x256_us": took_us},
        targets={**result.targets, "latents_64x256_us": 10.0},
        held=result.held and took_us <= 10.0,
    )


async def half_load(address: str, seconds: float, *, cancels: bool) -> float:
    """Return the tokens a second of half the callers; the other half waits as they do, or cancels
    each call after up to 0.2 s and calls again."""
    numbers, random = itertools.count(), np.random.default_rng(0)
    async with AsyncClient(address, 600.0) as client:
        end_s = time.perf_counter() + seconds

        async def call() -> int:
            done = await client.sample(ROWS, options=SAMPLING, seed=next(numbers))
            return done.facts.tokens

        async def caller() -> int:
            tokens = 0
            while True:
                answer_tokens = await call()
                if time.perf_counter() > end_s:
                    return tokens
                tokens += answer_tokens

        async def other_caller() -> int:
            while time.perf_counter() < end_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(
                        call(), random.uniform(0, CANCEL_AFTER_S_MAX) if cancels else None
                    )
            return 0

        half = CALLERS // 2
        callers = [caller() for _ in range(half)] + [other_caller() for _ in range(half)]
        return sum(await asyncio.gather(*callers)) / seconds
