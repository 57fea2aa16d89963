"""Exports to TensorBoard, read back as TensorBoard reads them, and the job `export`."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.export import Export, main
from tests.exports import FIGURES, published
from tests.job_runs import MODEL, prepared, ran, ran_job
from textvae.config.data import StoreConfig
from textvae.errors import InputError, NotFoundError
from textvae.locks import hold_lock
from textvae.reporting.export import Curve, Point, VersionExport, collect_export
from textvae.reporting.tensorboard import write_events
from textvae.store.attachments import attach

pytest.importorskip("tensorboard", reason="tensorboard is not installed; make .venv/dev")


@pytest.fixture
def found(tmp_path: Path) -> VersionExport:
    """A version of two phases and one evaluation."""
    return collect_export(*published(tmp_path))


def read(folder: Path) -> Any:
    """Return a run as TensorBoard itself reads it, with every point."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), dict.fromkeys(("scalars", "histograms", "tensors"), 0))
    return events.Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of a run by tag."""
    events = read(folder)
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def text(folder: Path, tag: str) -> str:
    """Return the one text of a run under a tag."""
    (event,) = read(folder).Tensors(f"{tag}/text_summary")
    data: bytes = event.tensor_proto.string_val[0]
    return data.decode()


def test_tensorboard_reads_every_figure_of_every_step(found: VersionExport, tmp_path: Path) -> None:
    """Both sides of a figure have one tag, so that they share a chart; each phase has its own."""
    write_events(found, tmp_path / "events")
    folder = tmp_path / "events" / found.version.model / found.version.name
    assert scalars(folder / "train") == {
        "vae/kl_nats": [(4, 7.5), (8, 3.75), (12, 2.5)],
        "vae/kl_weight": [(4, 0.5), (8, 0.5), (12, 0.5)],
        "language-model/reconstruction_nats": [(4, 10.25)],
    }
    assert scalars(folder / "held-out") == {
        "vae/kl_nats": [(12, 2.25)],
        "language-model/nats": [(4, 10.5)],
    }


def test_tensorboard_shows_settings_figures_and_the_kl_by_dimension(
    found: VersionExport, tmp_path: Path
) -> None:
    folder = write_events(found, tmp_path)[0].parent
    assert 'name = "a | b"' in text(folder, "settings")
    assert text(folder, "made of") == "parent: none\n\nspans: 000001-0123456789ab, 000002-ab"
    rows = text(folder, "figures").splitlines()[2:]
    assert rows == ["| elbo_nats | -20.5 |", "| active_units | 2 |"]
    (event,) = read(folder).Histograms("kl_nats_by_dimension")
    assert (event.step, event.histogram_value.num) == (12, len(FIGURES["kl_nats_by_dimension"]))
    assert event.histogram_value.sum == pytest.approx(sum(FIGURES["kl_nats_by_dimension"]))


def test_an_export_replaces_the_one_before(found: VersionExport, tmp_path: Path) -> None:
    """No point is there twice; files that this export lacks stay."""
    files = write_events(found, tmp_path)
    folder = files[0].parent.parent
    before = scalars(folder / "train"), scalars(folder / "held-out")
    assert write_events(found, tmp_path) == files
    assert (scalars(folder / "train"), scalars(folder / "held-out")) == before
    write_events(found._replace(curves=[], figures={"elbo_nats": -19.0}), tmp_path)
    assert (scalars(folder / "train"), scalars(folder / "held-out")) == before
    assert "| elbo_nats | -19 |" in text(folder / "version", "figures")
    everything = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path for path in everything if "events" in path.name] == sorted(files)


def test_an_export_that_breaks_off_leaves_the_one_before(
    found: VersionExport, tmp_path: Path
) -> None:
    """TensorBoard never sees a part of one, in no hidden folder either."""
    folder = tmp_path / "events"
    files = write_events(found, folder)
    before = {path: path.read_bytes() for path in files}
    broken = Curve("vae", "kl_nats", False, [Point(4, 1.0), Point(8, "none")])  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError, NotImplementedError, AssertionError)):
        write_events(found._replace(curves=[broken]), folder)
    assert {path for path in folder.rglob("*") if path.is_file()} == set(files)
    assert all(path.read_bytes() == before[path] for path in files[1:])


def test_without_tensorboard_the_extra_is_named(
    found: VersionExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError) as caught:
        write_events(found, tmp_path / "events")
    assert str(caught.value) == (
        "tensorboard: needs the package tensorboard; pip install 'textvae[tensorboard]'"
    )
    assert not (tmp_path / "events").exists()


def test_the_newest_evaluation_and_report_are_exported(tmp_path: Path) -> None:
    """And a version without an evaluation is exported without figures."""
    registry, version, run = published(tmp_path)
    later = {"figures.json": json.dumps({"elbo_nats": -18.0, "note": "short"}).encode()}
    for number in range(3):
        attach(registry, version, f"report-{number}", {"index.html": f"<p>{number}".encode()})
    attach(registry, version, "evaluation-00000000", later)
    export = collect_export(registry, version, run)
    assert export.numbers() == {"elbo_nats": -18.0}
    assert (export.report_name, export.report) == ("report-2", {"index.html": "<p>2"})
    bare, *_ = published(tmp_path / "bare", evaluated=False)
    none = collect_export(bare, version, None)
    assert (none.figures, none.report, none.report_name, none.curves) == ({}, {}, "", [])


def test_settings_are_exported_one_by_one_as_the_file_spells_them(found: VersionExport) -> None:
    assert dict(found.settings) == {
        "training.steps": "24",
        "training.precise": "true",
        "training.seeds": "[1, 2]",
        "training.name": "a | b",
    }


def test_the_job_exports_and_says_where(tmp_path: Path) -> None:
    """As a process, twice; while another process exports, its name is in the error."""
    folder = prepared(tmp_path / "nightly")
    _, version, run = published(folder)
    flags = ("--run", str(run), "--tensorboard", "events")
    line = ran_job(folder, "export", *flags).line
    folder_name = f"events/{version.model}/{version.name}"
    assert (line["outcome"], line["version"]) == ("exported", version.name)
    assert [path.rpartition("/")[0] for path in line["tensorboard"]] == [
        f"{folder_name}/{name}" for name in ("version", "train", "held-out")
    ]
    assert "mlflow" not in line
    before = scalars(folder / folder_name / "train")
    with hold_lock(folder / "runs" / "export.lock", "another"):
        busy = ran(folder, "jobs.export", "--config", "toy.toml", *flags)
    assert busy.code == 75
    assert "held by another" in busy.line["error"]
    assert ran_job(folder, "export", *flags).line == line
    assert scalars(folder / folder_name / "train") == before


@pytest.mark.parametrize(
    ("flags", "kind", "message"),
    [
        ({}, InputError, "tensorboard: give --tensorboard FOLDER, --mlflow ADDRESS or both"),
        ({"version": "20260101-aaaaaaaaaaaa"}, NotFoundError, "no version '20260101-aaaaaaaaaaaa'"),
        ({"run": Path("nowhere")}, NotFoundError, "nowhere/metrics.jsonl: cannot be read"),
    ],
)
def test_an_export_that_is_not_possible_is_refused(
    flags: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    published(tmp_path)
    store = StoreConfig(tmp_path / "registry", MODEL, runs=tmp_path / "runs")
    target = {"tensorboard": tmp_path / "events"} if flags else {}
    with pytest.raises(kind, match=re.escape(message)):
        main(Export(store=store, **target, **flags))
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("address", ["http://ann:secret@there:5000", "https://secret@there"])
def test_an_address_with_a_password_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(InputError, match="MLFLOW_TRACKING_PASSWORD in the environment") as caught:
        Export(mlflow=address)
    assert "secret" not in str(caught.value)


def test_an_export_needs_a_version(tmp_path: Path) -> None:
    store = StoreConfig(tmp_path / "registry", MODEL)
    with pytest.raises(NotFoundError, match=r"no version of toy; python -m jobs\.train"):
        main(Export(tensorboard=tmp_path, store=store))
