"""Every setting of the project, declared once: a dataclass field is a TOML key is a flag.

A section of the TOML file is one dataclass below; a job takes the sections it needs. A value out
of its range is an InputError as soon as the section is made, wherever it came from.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textvae.errors import InputError

SEED_MAX = 2**32 - 1  # what every generator of random numbers takes


def _check(
    config: object, section: str, names: tuple[str, ...], low: float, high: float = math.inf
) -> None:
    """InputError naming the first field that is not finite and within low to high."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high or math.isinf(value):
            most = f"{low} or more" if math.isinf(high) else f"{low} to {high}"
            raise InputError(f"{section}.{name}", f"must be {most}, got {value}")


@dataclass(frozen=True)
class StoreConfig:
    """Where things lie."""

    registry: Path = Path("registry")
    """Folder of published versions, one folder per model."""
    model: str = "sentences"
    """Name of the model in the registry: lower-case letters, digits and hyphens."""
    spans: Path = Path("spans")
    """Folder of ingested text; each ingest adds one immutable span."""
    runs: Path = Path("runs")
    """Folder of unfinished and finished training runs with their checkpoints."""


@dataclass(frozen=True)
class DataConfig:
    """What ingest reads and what it keeps."""

    inputs: tuple[Path, ...] = ()
    """Files or folders of .txt, .jsonl, .csv or .parquet; split by hash."""
    train: tuple[Path, ...] = ()
    """Files that are all training text; overrides the split."""
    valid: tuple[Path, ...] = ()
    """Files that are all validation text; overrides the split."""
    test: tuple[Path, ...] = ()
    """Files that are all test text; overrides the split."""
    text_column: str = "text"
    """Column or key that holds the sentence (.jsonl, .csv, .parquet)."""
    label_column: str = ""
    """Column or key of the label; empty: `label` where a file has it."""
    group_column: str = ""
    """Column or key of the group that must stay on one side; empty: `group` where a file has it."""
    characters_max: int = 1000
    """Longest sentence kept, in characters after normalising."""
    words_max: int = 0
    """Longest sentence kept, in words; 0 for no limit."""
    valid_share: float = 0.02
    """Share of the groups (or sentences) that go to validation, 0 to 0.5."""
    test_share: float = 0.02
    """Share of the groups (or sentences) that go to test, 0 to 0.5."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        _check(self, "data", ("characters_max",), 1)
        _check(self, "data", ("words_max",), 0)
        _check(self, "data", ("valid_share", "test_share"), 0, 0.5)


@dataclass(frozen=True)
class TokenizerConfig:
    """SentencePiece: lossless, with byte fallback."""

    vocab: int = 8000
    """Tokens wished for; a small corpus gets fewer, and the report says so."""
    kind: Literal["unigram", "bpe"] = "unigram"
    """Algorithm of SentencePiece."""
    sentences_max: int = 100_000
    """At most this many training sentences, drawn by the seed, teach the vocabulary."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        _check(self, "tokenizer", ("vocab", "sentences_max"), 1)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; the vocabulary's size comes from the tokenizer."""

    embed: int = 256
    """Width of a token embedding, shared by encoder input, decoder input and softmax."""
    hidden: int = 512
    """Width of the decoder's state and of each direction of the encoder."""
    latent: int = 64
    """Width of the latent."""
    dropout: float = 0.1
    """Share of embedding and output units dropped while training, 0 to 0.9."""
    batchnorm_scale: float = 0.0
    """Fixed scale of a BatchNorm on the posterior means (Zhu et al. 2020); 0 for none."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        _check(self, "model", ("embed", "hidden", "latent"), 1)
        _check(self, "model", ("dropout",), 0, 0.9)
        _check(self, "model", ("batchnorm_scale",), 0)


@dataclass(frozen=True)
class TrainingConfig:
    """How the model is learned. Steps are the only budget; time never ends a run."""

    objective: Literal["vae", "autoencoder", "kl-only"] = "vae"
    """autoencoder: no KL, no noise; kl-only: no reconstruction; both: no BatchNorm, free bits."""
    steps: int = 20_000
    """Optimizer steps of the VAE."""
    autoencoder_steps: int = 0
    """Steps without KL before the VAE's, after which the decoder is reset (Li et al. 2019)."""
    decoder_start: Literal["new", "language-model"] = "new"
    """Begin the VAE's decoder anew, or as the trained language model (no autoencoder_steps)."""
    language_model_steps: int = 20_000
    """Optimizer steps of the language model; as many as the VAE's make a fair limit to beat."""
    select: Literal["last", "iw-nll"] = "last"
    """Which weights of the VAE are kept: the last, or those of the best held-out IW-NLL."""
    batch: int = 128
    """Sentences a step."""
    tokens_max: int = 128
    """Longest sentence learned from, in tokens; longer ones are cut and counted in the log."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network learns; all chance is drawn on the CPU, the same for both."""
    learning_rate: float = 1e-3
    """Peak step size of Adam; falls along a cosine to a tenth."""
    warmup_steps: int = 200
    """Steps over which the learning rate rises from 0."""
    clip: float = 5.0
    """Largest norm of a gradient."""
    word_dropout: float = 0.2
    """Share of the decoder's input tokens replaced by <unk> (Bowman et al. 2016), 0 to 1."""
    word_noise: float = 0.1
    """Share of the encoder's input tokens replaced by <unk>, 0 to 1."""
    kl_schedule: Literal["linear", "logistic", "cyclical"] = "linear"
    """Shape of the KL weight's rise."""
    kl_start: float = 0.0
    """KL weight at step 0, 0 to 1."""
    kl_steps: int = 2000
    """Steps until the weight is 1 (logistic: it is 0.5 at half of this; cyclical: one rise)."""
    kl_cycle_steps: int = 4000
    """Length of a cycle (cyclical only)."""
    free_bits: float = 0.0
    """KL per latent dimension below which there is no pressure, in nats."""
    target_kl_nats: float = 16.0
    """Hold the held-out KL at this rate by a multiplier on its weight; 0 for the plain ELBO."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of matrix products; auto takes bf16 where the processor has it."""
    seed: int = 0
    """Seed of weights, batches, dropout and noise."""
    checkpoint_s: float = 60.0
    """Seconds between checkpoints."""
    log_steps: int = 50
    """Steps between two lines of metrics.jsonl."""
    validation_steps: int = 2000
    """Steps between two looks at the validation side; 0: only at the end."""
    collapse_stops: bool = True
    """End the run with exit code 4 when the posterior has collapsed."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        counts = ("steps", "language_model_steps", "batch", "tokens_max", "log_steps")
        _check(self, "training", counts, 1)
        _check(self, "training", ("word_dropout", "word_noise", "kl_start"), 0, 1)
        spans = ("autoencoder_steps", "warmup_steps", "kl_steps", "validation_steps")
        _check(self, "training", (*spans, "checkpoint_s", "free_bits", "target_kl_nats"), 0)
        if self.kl_schedule == "cyclical":
            _check(self, "training", ("kl_cycle_steps",), max(self.kl_steps, 1))
        if self.autoencoder_steps and self.decoder_start == "language-model":
            raise InputError("training.decoder_start", 'must be "new" with autoencoder_steps')
        _check(self, "training", ("seed",), 0, SEED_MAX)
        _check(self, "training", ("learning_rate", "clip"), 1e-08)


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured on the held-out side, always at KL weight 1."""

    sentences: int = 1000
    """Held-out sentences looked at, the first by hash; 0 for all."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where likelihoods are computed; sentences are written on the CPU always."""
    importance_samples: int = 100
    """Samples k of the importance-weighted NLL (Burda et al. 2016)."""
    prior_draws: int = 200
    """Draws of each prior that are decoded and counted for distinctness."""
    prior_components: int = 32
    """Components of the fitted prior, a Gaussian mixture."""
    prior_sentences: int = 20_000
    """Training sentences that the fitted prior is learned from."""
    path_pairs: int = 100
    """Pairs of held-out sentences that are joined by paths, to look for holes between them."""
    generation_sentences: int = 0
    """Samples drawn to judge generation, and again from the language model; 0: not judged."""
    judge_steps: int = 3000
    """Optimizer steps of the judge that learns from samples (reverse perplexity)."""
    seed: int = 0
    """Seed of all draws."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        counts = ("importance_samples", "prior_components", "prior_sentences", "judge_steps")
        _check(self, "evaluation", (*counts, "path_pairs"), 1)
        _check(self, "evaluation", ("prior_draws",), 1, 1024)
        _check(self, "evaluation", ("sentences", "generation_sentences"), 0)
        _check(self, "evaluation", ("seed",), 0, SEED_MAX)


@dataclass(frozen=True)
class GateConfig:
    """When a candidate may take the champion's place."""

    kl_nats_min: float = 1.0
    """Floor of the KL, in nats per sentence."""
    informed_share_min: float = 0.5
    """Floor of (language-model nats - reconstruction nats) / KL."""
    shuffle_nats_min: float = 1.0
    """Floor of what shuffling latents among sentences must cost, in nats per sentence."""
    distinct_min: float = 0.5
    """Floor of the distinct share of greedy decodes of prior draws."""
    worse_share_max: float = 0.005
    """The paired 95 % bound may be worse than the champion's ELBO by this share at most."""
    strict: bool = False
    """End with exit code 3 when the candidate is rejected."""

    def __post_init__(self) -> None:
        """InputError for a floor that no figure could meet or miss."""
        floors = ("kl_nats_min", "informed_share_min", "shuffle_nats_min", "distinct_min")
        _check(self, "gate", (*floors, "worse_share_max"), -math.inf)


@dataclass(frozen=True)
class ServeConfig:
    """The server's listener and limits; GetServerInfo publishes the limits."""

    host: str = "127.0.0.1"
    """Address to bind; anything but loopback needs --insecure, until there is TLS."""
    port: int = 50061
    """Port to bind; 0 takes a free one and prints it."""
    insecure: bool = False
    """Allow a plain-text listener on an address that others can reach."""
    sentences_max: int = 1024
    """Most sentences or latents in one call."""
    characters_max: int = 1000
    """Longest sentence taken, in characters."""
    tokens_max: int = 128
    """Longest sentence taken or written, in tokens."""
    count_max: int = 1024
    """Most sentences drawn by one call."""
    steps_max: int = 64
    """Most points of one path."""
    importance_samples_max: int = 1000
    """Most importance samples per sentence of Score."""
    message_bytes_max: int = 16 * 1024 * 1024
    """Largest message taken, in bytes."""
    waiting_rows_max: int = 8192
    """Rows that may wait for the engine; more is RESOURCE_EXHAUSTED."""
    slots: int = 64
    """Rows that the engine advances together."""
    threads: int = 0
    """Threads of the engine's arithmetic; 0 for the processor's cores."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Of the weights that write: int8 is faster, for versions that `evaluate` found fit for it."""
    poll_s: float = 1.0
    """Seconds between two looks at the registry for a new champion."""
    drain_s: float = 20.0
    """Seconds that calls may take to end after SIGTERM."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        limits = ("sentences_max", "characters_max", "tokens_max", "count_max")
        counts = ("importance_samples_max", "message_bytes_max", "waiting_rows_max")
        _check(self, "serve", (*limits, *counts), 1)
        _check(self, "serve", ("steps_max",), 2)
        _check(self, "serve", ("port", "threads", "poll_s", "drain_s"), 0)


@dataclass(frozen=True)
class Sections:
    """All sections a TOML file may have; every job reads the same file and takes what it needs."""

    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    serve: ServeConfig = ServeConfig()
