"""`python -m jobs.export`: a version and its training, for other tools."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from textvae.config.data import StoreConfig
from textvae.errors import InputError
from textvae.store.choice import choose_version
from textvae.store.promotions import current_promotion

from .command import run_job


@dataclass(frozen=True)
class Export:
    """Copies a version, its figures and its training to TensorBoard, to MLflow, or to both.

    Nothing leaves the machine but to the address that --mlflow gives. An export that was cut off
    can be repeated: nothing is exported twice.
    """

    version: str = ""
    """Name of the version, or champion, or newest; empty: the newest."""
    run: Path | None = None
    """Folder of its training, for figures by step; `train` and `nightly` return it."""
    tensorboard: Path | None = None
    """Folder for `tensorboard --logdir`; needs textvae[tensorboard]."""
    mlflow: str = ""
    """Address of an MLflow server, such as http://127.0.0.1:5000; needs textvae[mlflow]."""
    store: StoreConfig = StoreConfig()

    def __post_init__(self) -> None:
        """Raise InputError for an address with a password, which result and log would show."""
        try:
            secret = "@" in urlsplit(self.mlflow).netloc
        except ValueError as error:
            raise InputError("mlflow", f"is no address: {error}") from None
        if secret:
            raise InputError(
                "mlflow",
                "must not hold a name or password; give them as MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD in the environment",
            )


def main(settings: Export) -> dict[str, Any]:
    """Return outcome `exported`, with the event files, and where the version is in MLflow."""
    from textvae.reporting.export import collect_export
    from textvae.reporting.mlflow import export_to_mlflow
    from textvae.reporting.tensorboard import write_events

    if settings.tensorboard is None and not settings.mlflow:
        raise InputError("tensorboard", "give --tensorboard FOLDER, --mlflow ADDRESS or both")
    store = settings.store
    version = choose_version(store.registry, store.model, settings.version)
    contents = collect_export(store.registry, version, settings.run)
    exported: dict[str, Any] = {}
    if settings.tensorboard is not None:
        paths = write_events(contents, settings.tensorboard)
        exported["tensorboard"] = [str(path) for path in paths]
    if settings.mlflow:
        promotion = current_promotion(store.registry, store.model)
        serves = promotion is not None and promotion.version == version.name
        exported["mlflow"] = export_to_mlflow(contents, settings.mlflow, serves)._asdict()
    return {"outcome": "exported", "version": version.name, **exported}


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the job; two at once would each send what the other sends."""
    run_job("export", Export, main, argv, lock=lambda one: one.store.runs / "export.lock")


if __name__ == "__main__":
    run()
