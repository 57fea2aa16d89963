"""`python -m jobs.ingest --data.inputs FILE`: adds new text to the corpus as one more span."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textvae.config.data import DataConfig, StoreConfig
from textvae.corpus.data_report import report_lines
from textvae.corpus.forget import forget, forget_lines, sentences_to_forget
from textvae.corpus.group_report import group_warnings
from textvae.corpus.ingest import ingest
from textvae.store.attachments import remove_quoting

from .command import run_job


@dataclass(frozen=True)
class Ingest:
    """Reads text files, splits and dedupes them, and adds the new sentences as a span."""

    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()
    forget: Path | None = None
    """Instead, erase the sentences of this file, one per line, from all spans permanently,
    and remove the reports that quote them."""


def main(settings: Ingest) -> dict[str, Any]:
    """Return outcome `ingested` with the span and its data report, or `no_data` for nothing new;
    also what it warns of.

    With `forget` the outcome is `forgotten`, with the number of sentences erased from each span and
    the reports that quoted them, which are removed.
    """
    if settings.forget is not None:
        forgotten = forget(settings.forget, settings.store.spans)
        print("\n".join(forget_lines(forgotten)))
        texts = sentences_to_forget(settings.forget)
        store = settings.store
        reports = remove_quoting(store.registry, store.model, "report-", texts)
        if reports:
            print(f"removed        {len(reports):>9,}   reports that quoted them")
        removed = {"reports_removed": [str(folder) for folder in reports]}
        return {"outcome": "forgotten", **forgotten.record(), **removed}
    span = ingest(settings.data, settings.store.spans)
    if span is None:
        print("nothing new: every sentence of these files was ingested before")
        return {"outcome": "no_data"}
    print("\n".join(report_lines(span.report)))
    if not any(span.report["kept"].values()):
        print("nothing new but what was set aside")
        return {"outcome": "no_data", "aside": span.name, "report": span.report}
    warned = {"warnings": warnings} if (warnings := group_warnings(span.report)) else {}
    return {"outcome": "ingested", "span": span.name, "report": span.report, **warned}


if __name__ == "__main__":
    run_job("ingest", Ingest, main)
