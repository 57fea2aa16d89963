"""Benchmarks through a real server: cancelled calls, and many sentences in one call.

The version that serves is made up: weights of full size that end a sentence at every step with the
same chance, so lengths are those of a queue (exponential, 15 tokens in the mean) and no training is
needed. The load comes from this process.
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
from textvae.wire import latents_message

MODEL = "bench"
ROWS = 8
"""Sentences of a call."""
CALLERS = 24
"""Three times the rows that have a slot."""
MEAN_TOKENS = 15
PATIENCE_S = 0.2
START_S = 120.0
DRAWN = Options(temperature=1.0, tokens_max=60)


def made_up(registry: Path, quick: bool) -> Version:
    """A version with random weights, promoted."""
    config = ModelConfig(embed=64, hidden=128, latent=16) if quick else ModelConfig()
    wished = 1000 if quick else 8192
    tokenizer = train_tokenizer(invented(wished), TokenizerConfig(vocab=wished, kind="bpe"))
    torch.manual_seed(0)
    vocab = Tokenizer(tokenizer).vocab
    model, language_model = SentenceVae(config, vocab), LanguageModel(config, vocab)
    with torch.no_grad():
        model.decoder.bias[EOS] = math.log(vocab / MEAN_TOKENS)
    contents = {
        "model.safetensors": save(model.state_dict()),
        "language_model.safetensors": save(language_model.state_dict()),
        "tokenizer.model": tokenizer,
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


def invented(count: int) -> list[str]:
    """Sentences of a dozen invented words, frequent ones more often, which are tokens then."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 9, 24_000)]
    weights = 1 / np.arange(1, len(words) + 1)
    chosen = random.choice(words, (count, 12), p=weights / weights.sum())
    return [" ".join(row) for row in chosen]


def bench_cancels(quick: bool) -> Result:
    """What half of the callers get when the other half gives up, over what they get beside callers
    that wait for their answers."""
    load_before, seconds, rounds = os.getloadavg()[0], 1.0 if quick else 15.0, 2 if quick else 8
    with files.scratch_folder() as registry:
        made_up(registry, quick)
        with run_server(registry, MODEL, START_S, "--threads", "1") as address:
            found = []
            for number in range(rounds):
                # Each goes first as often as the other: the second is slower by some percent.
                order = (False, True) if number % 2 else (True, False)
                speed = {
                    gives_up: asyncio.run(beside(address, seconds, gives_up=gives_up))
                    for gives_up in order
                }
                found.append((speed[False], speed[True]))
    figures = {
        "beside_patient_tokens_per_s": median(row[0] for row in found),
        "beside_cancelling_tokens_per_s": median(row[1] for row in found),
        "ratio": median(row[1] / row[0] for row in found),
        "rounds": float(rounds),
    }
    held = figures["ratio"] >= 0.95
    return Result("cancels", describe_machine(), load_before, figures, {"ratio": 0.95}, held)


def bench_bulk(quick: bool) -> Result:
    """Many sentences encoded by one call of the client, against a call for each; and how long 64
    latents of 256 take to become a message."""
    rows = np.random.default_rng(0).standard_normal((64, 256), np.float32)
    count = 2000
    took_s = min(timeit.repeat(lambda: latents_message(rows, "v"), number=count, repeat=5))
    with files.scratch_folder() as registry:
        made_up(registry, quick)
        texts = invented(100 if quick else 1000)
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


async def beside(address: str, seconds: float, *, gives_up: bool) -> float:
    """Tokens a second of half the callers; the others wait as they do, or give up and ask anew."""
    numbers, chance = itertools.count(), np.random.default_rng(0)
    async with AsyncClient(address, 600.0) as client:
        end_s = time.perf_counter() + seconds

        async def ask() -> int:
            done = await client.sample(ROWS, options=DRAWN, seed=next(numbers))
            return done.facts.tokens

        async def caller() -> int:
            tokens = 0
            while True:
                got = await ask()
                if time.perf_counter() > end_s:
                    return tokens
                tokens += got

        async def impatient() -> int:
            while time.perf_counter() < end_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(
                        ask(), chance.uniform(0, PATIENCE_S) if gives_up else None
                    )
            return 0

        half = CALLERS // 2
        callers = [caller() for _ in range(half)] + [impatient() for _ in range(half)]
        return sum(await asyncio.gather(*callers)) / seconds
