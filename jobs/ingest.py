"""`python -m jobs.ingest --data.inputs FILE`: new text becomes one more span of the corpus."""

from dataclasses import dataclass
from typing import Any

from jobs.command import run_job
from textvae.config import DataConfig, StoreConfig
from textvae.text.ingest import ingest
from textvae.text.report import report_lines


@dataclass(frozen=True)
class Ingest:
    """Reads text files, splits and dedupes them, and adds what is new to the corpus as a span."""

    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()


def main(settings: Ingest) -> dict[str, Any]:
    """Outcome `ingested` with the span and its data report, or `no_data` where nothing is new."""
    span = ingest(settings.data, settings.store.spans)
    if span is None:
        print("nothing new: every sentence of these files was ingested before")
        return {"outcome": "no_data"}
    print("\n".join(report_lines(span.report)))
    return {"outcome": "ingested", "span": span.name, "report": span.report}


if __name__ == "__main__":
    run_job("ingest", Ingest, main)
