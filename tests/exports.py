"""A small version with a run, for the tests of exports."""

import json
from pathlib import Path
from typing import Any

from tests.job_runs import MODEL
from textvae.store.attachments import attach
from textvae.store.versions import Version, publish
from textvae.training.metrics import Metrics
from textvae.training.ranks import current_ranks

CONFIG = b'[training]\nsteps = 24\nprecise = true\nseeds = [1, 2]\nname = "a | b"\n'
FIGURES: dict[str, Any] = {
    "elbo_nats": -20.5,
    "active_units": 2,
    "kl_nats_by_dimension": [0.5, 3.0, 0.0, 2.5],
    "reconstruction_exact": None,
}


def published(folder: Path, evaluated: bool = True) -> tuple[Path, Version, Path]:
    """Return registry, version and run of a training of two phases that was interrupted once."""
    registry, run = folder / "registry", folder / "runs" / "0123456789ab"
    facts = {
        "parent": "",
        "spans": {"000001-0123456789ab": "1" * 64, "000002-ab": "2" * 64},
        "steps": {"vae": 12, "language-model": 4},
    }
    contents = {"model.safetensors": bytes(1000), "config.toml": CONFIG}
    version = publish(registry, MODEL, "20260101", contents, facts)
    if evaluated:
        figures = {"figures.json": json.dumps(FIGURES).encode()}
        attach(registry, version, "evaluation-ffffffff", figures)
    vae = Metrics(run / "metrics.jsonl", "vae", current_ranks())
    for step in (4, 8, 12):
        vae.write(step, {"kl_nats": 30 / step, "kl_weight": 0.5})
        if step == 8:
            vae.resume(8, 12)
    vae.write(12, {"valid_kl_nats": 2.25})
    language_model = vae._replace(phase="language-model")
    language_model.write(4, {"reconstruction_nats": 10.25})
    language_model.write(4, {"valid_nats": 10.5})
    return registry, version, run
