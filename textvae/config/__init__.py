"""Every setting of the project, declared once: a dataclass field is a TOML key is a flag.

A section of the TOML file is one dataclass of this package; a job takes the sections it needs. A
value out of its range is an InputError as soon as the section is made, wherever it came from.
"""

from textvae.config.checks import SEED_MAX
from textvae.config.data import DataConfig, StoreConfig, TokenizerConfig
from textvae.config.judging import EvaluationConfig, GateConfig
from textvae.config.keeping import PruneConfig
from textvae.config.learning import ModelConfig, TrainingConfig
from textvae.config.nights import NightConfig
from textvae.config.serving import ServeConfig

__all__ = [
    "SEED_MAX",
    "StoreConfig",
    "DataConfig",
    "TokenizerConfig",
    "ModelConfig",
    "TrainingConfig",
    "EvaluationConfig",
    "GateConfig",
    "NightConfig",
    "PruneConfig",
    "ServeConfig",
]
