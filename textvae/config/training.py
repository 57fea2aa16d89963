"""Settings of the network and of its training."""

from dataclasses import dataclass
from typing import Literal

from textvae.errors import InputError
from textvae.ranges import SEED_MAX, check_settings


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
        """Raise InputError for a value out of its range."""
        check_settings(self, "model", ("embed", "hidden", "latent"), 1)
        check_settings(self, "model", ("dropout",), 0, 0.9)
        check_settings(self, "model", ("batchnorm_scale",), 0)


@dataclass(frozen=True)
class TrainingConfig:
    """How the model is trained. Steps are the only budget; no time limit ends a run."""

    start: Literal["champion", "fresh"] = "champion"
    """Warm start from weights and vocabulary of the champion, or train from scratch; without a
    champion a run is fresh, and so is every run of a table."""
    warm_steps: int = 0
    """Steps of the VAE from a champion, and most of its language model; 0: as from fresh."""
    replay: float = 4.0
    """Sentences of old spans per new one, from a champion; each run draws its own."""
    replay_min: int = 100_000
    """Least number of replayed sentences of old spans, as far as there are so many."""
    shrink: float = 1.0
    """Factor on a champion's weights at the start (Ash & Adams 2020), 0 to 1."""
    perturb: float = 0.0
    """Share of new initial weights that is added to them, 0 to 1."""
    restart: bool = False
    """Restart a run whose checkpoints were made by another arithmetic, instead of refusing it."""
    objective: Literal["vae", "autoencoder", "kl-only"] = "vae"
    """autoencoder: no KL, no noise; kl-only: no reconstruction; both: no BatchNorm, free bits."""
    epochs: float = 0.0
    """Passes over the sentences by VAE and language model each, instead of steps and
    language_model_steps, with kl_steps and warmup_steps of half and a tenth of it at most; 0: as
    those say."""
    steps: int = 20_000
    """Optimizer steps of the VAE, where epochs is 0."""
    autoencoder_steps: int = 0
    """Steps without KL before the VAE's, after which the decoder is reset (Li et al. 2019)."""
    decoder_start: Literal["new", "language-model"] = "new"
    """Initial decoder of the VAE: new, or the trained language model (no autoencoder_steps)."""
    language_model_steps: int = 20_000
    """Optimizer steps of the language model, where epochs is 0; as many as the VAE's make a fair
    baseline."""
    select: Literal["last", "iw-nll"] = "last"
    """Weights of the VAE that are published: the last, or those of the best held-out IW-NLL."""
    batch: int = 128
    """Sentences per step."""
    tokens_max: int = 128
    """Longest sentence learned from, in tokens; longer ones are cut and counted in the log."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device of the network; random numbers come from the CPU, the same for both."""
    learning_rate: float = 1e-3
    """Peak step size of Adam, which falls along a cosine to a tenth."""
    warmup_steps: int = 200
    """Steps over which the learning rate rises from 0."""
    clip: float = 5.0
    """Largest norm of the gradient; a larger one is scaled down to it."""
    word_dropout: float = 0.2
    """Share of the decoder's input tokens replaced by <unk> (Bowman et al. 2016), 0 to 1."""
    word_noise: float = 0.1
    """Share of the encoder's input tokens replaced by <unk>, 0 to 1."""
    sibling_share: float = 0.0
    """Of the sentences of groups, the share whose encoder reads another member, 0 to 1."""
    kl_schedule: Literal["linear", "logistic", "cyclical"] = "linear"
    """Shape of the KL weight's rise."""
    kl_start: float = 0.0
    """KL weight at step 0, 0 to 1."""
    kl_steps: int = 2000
    """Steps until the weight is 1 (logistic: it is 0.5 at half of this; cyclical: one rise)."""
    kl_cycle_steps: int = 4000
    """Steps of a cycle (cyclical only)."""
    free_bits: float = 0.0
    """KL of a latent dimension below which it is not penalized, in nats (Kingma et al. 2016)."""
    target_kl_nats: float = 16.0
    """Target of the held-out KL, in nats, held by a controller of its weight; 0 for the ELBO."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of matrix products; auto takes bf16 where the processor has it."""
    seed: int = 0
    """Seed of weights, batches, dropout and noise."""
    checkpoint_s: float = 60.0
    """Seconds between checkpoints."""
    log_steps: int = 50
    """Steps between two lines of metrics.jsonl, and of the running means that it has."""
    validation_steps: int = 2000
    """Steps between two validations; 0: only at the end."""
    collapse_stops: bool = True
    """Stop with exit code 4 on posterior collapse."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        counts = ("steps", "language_model_steps", "batch", "tokens_max", "log_steps")
        check_settings(self, "training", counts, 1)
        shares = ("word_dropout", "word_noise", "kl_start", "shrink", "perturb", "sibling_share")
        check_settings(self, "training", shares, 0, 1)
        check_settings(self, "training", ("warm_steps", "replay", "replay_min", "epochs"), 0)
        spans = ("autoencoder_steps", "warmup_steps", "kl_steps", "validation_steps")
        check_settings(self, "training", (*spans, "checkpoint_s", "free_bits", "target_kl_nats"), 0)
        if self.kl_schedule == "cyclical":
            check_settings(self, "training", ("kl_cycle_steps",), max(self.kl_steps, 1))
        if self.autoencoder_steps and self.decoder_start == "language-model":
            raise InputError("training.decoder_start", 'must be "new" with autoencoder_steps')
        check_settings(self, "training", ("seed",), 0, SEED_MAX)
        check_settings(self, "training", ("learning_rate", "clip"), 1e-08)
