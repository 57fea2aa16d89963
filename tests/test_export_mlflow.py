"""Exports to MLflow, read back by MLflow's own client from a store of its own."""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobs.export import Export, main
from tests import toys
from tests.exports import published
from tests.job_runs import MODEL, ROOT
from textvae.config.data import StoreConfig
from textvae.errors import InputError, UnavailableError
from textvae.reporting.export import VersionExport, collect_export
from textvae.reporting.mlflow import ALIAS, MANIFEST_TAG, export_to_mlflow
from textvae.store.attachments import attach
from textvae.store.versions import Version, publish

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed; make test-extras")


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a folder that MLflow stores runs in."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture
def found(tmp_path: Path) -> VersionExport:
    """A version of two phases and one evaluation."""
    return collect_export(*published(tmp_path))


def client(address: str) -> Any:
    """Return MLflow's own client."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(address, address)


def history(address: str, run: str) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of every figure of a run, as often as MLflow has them."""
    mlflow = client(address)
    return {
        name: sorted((metric.step, metric.value) for metric in mlflow.get_metric_history(run, name))
        for name in mlflow.get_run(run).data.metrics
    }


def alias_version(address: str) -> str | None:
    """Return the registered model's version that has the alias."""
    version = client(address).get_registered_model(MODEL).aliases.get(ALIAS)
    return None if version is None else str(version)


def test_a_run_in_mlflow_has_all_of_the_export(found: VersionExport, address: str) -> None:
    export = export_to_mlflow(found, address, serves=True)
    run = client(address).get_run(export.run)
    assert history(address, export.run) == {
        "evaluation/elbo_nats": [(0, -20.5)],
        "evaluation/active_units": [(0, 2.0)],
        "vae/kl_nats": [(4, 7.5), (8, 3.75), (12, 2.5)],
        "vae/kl_weight": [(4, 0.5), (8, 0.5), (12, 0.5)],
        "vae/valid_kl_nats": [(12, 2.25)],
        "language-model/reconstruction_nats": [(4, 10.25)],
        "language-model/valid_nats": [(4, 10.5)],
    }
    assert run.data.params == dict(found.settings)
    tags = {name: value for name, value in run.data.tags.items() if name.startswith("textvae.")}
    assert tags == {
        "textvae.version": found.version.name,
        MANIFEST_TAG: found.version.manifest_sha256,
        "textvae.parent": "none",
        "textvae.spans": "000001-0123456789ab 000002-ab",
    }
    assert (run.info.status, run.info.run_name) == ("FINISHED", found.version.name)
    assert client(address).get_experiment(run.info.experiment_id).name == MODEL
    assert export.points == sum(map(len, history(address, export.run).values()))


def test_mlflow_has_the_files_of_the_version_to_the_byte(
    found: VersionExport, address: str, tmp_path: Path
) -> None:
    export = export_to_mlflow(found, address, serves=True)
    (tmp_path / "back").mkdir()
    back = Path(client(address).download_artifacts(export.run, "version", str(tmp_path / "back")))
    files = {path.name: path.read_bytes() for path in found.version.folder.iterdir()}
    assert {path.name: path.read_bytes() for path in back.iterdir()} == files
    assert export.artifacts == len(files)
    registered = client(address).get_model_version(MODEL, export.model_version)
    assert (registered.run_id, registered.tags[MANIFEST_TAG]) == (
        export.run,
        found.version.manifest_sha256,
    )
    assert registered.source.endswith("/artifacts/version")


def test_what_mlflow_has_is_not_sent_again(found: VersionExport, address: str) -> None:
    first = export_to_mlflow(found, address, serves=True)
    before = history(address, first.run)
    again = export_to_mlflow(found, address, serves=True)
    assert again == first._replace(points=0, artifacts=0)
    assert history(address, first.run) == before
    assert len(client(address).search_model_versions(f"name = '{MODEL}'")) == 1


def test_an_interrupted_export_is_completed(
    found: VersionExport, address: str, tmp_path: Path
) -> None:
    """Points and files that MLflow lacks are sent, each once."""
    short = [curve._replace(points=curve.points[:1]) for curve in found.curves[:3]]
    first = export_to_mlflow(found._replace(curves=short, settings={}), address, serves=True)
    (lost,) = (tmp_path / "mlruns").rglob("artifacts/version/model.safetensors")
    lost.write_bytes(lost.read_bytes()[:10])
    rest = export_to_mlflow(found, address, serves=True)
    assert (rest.run, rest.model_version) == (first.run, first.model_version)
    assert (rest.points, rest.artifacts) == (6, 1)
    assert lost.read_bytes() == bytes(1000)
    assert history(address, first.run)["vae/kl_nats"] == [(4, 7.5), (8, 3.75), (12, 2.5)]
    assert client(address).get_run(first.run).data.params == dict(found.settings)


def test_later_attachments_of_a_version_are_sent_by_the_next_export(
    tmp_path: Path, address: str
) -> None:
    registry, version, run = published(tmp_path)
    store = StoreConfig(registry, MODEL)
    first = main(Export(run=run, mlflow=address, store=store))["mlflow"]
    attach(registry, version, "evaluation-00000000", {"figures.json": b'{"elbo_nats": -19.0}'})
    attach(registry, version, "report-00000000", {"index.html": b"<p>one"})
    second = main(Export(mlflow=address, store=store))["mlflow"]
    assert (second["run"], second["points"], second["artifacts"]) == (first["run"], 1, 1)
    assert client(address).get_run(first["run"]).data.metrics["evaluation/elbo_nats"] == -19.0
    assert main(Export(mlflow=address, store=store))["mlflow"]["artifacts"] == 0
    attach(registry, version, "report-11111111", {"index.html": b"<p>two"})
    assert main(Export(mlflow=address, store=store))["mlflow"]["artifacts"] == 1
    (page,) = (tmp_path / "mlruns").rglob("artifacts/report/index.html")
    assert page.read_text() == "<p>two"


def test_the_alias_is_on_the_version_that_serves(tmp_path: Path, address: str) -> None:
    registry, one, _ = published(tmp_path)
    two = publish(registry, MODEL, "20260102", {"config.toml": b"[training]\n"}, {})
    store = StoreConfig(registry, MODEL)

    def exported(version: Version) -> dict[str, Any]:
        result: dict[str, Any] = main(Export(version.name, mlflow=address, store=store))["mlflow"]
        return result

    first = exported(one)
    assert (first["champion"], alias_version(address)) == (False, None)
    toys.promoted(registry, one)
    assert exported(one)["champion"]
    assert alias_version(address) == first["model_version"]
    second = exported(two)
    assert second["model_version"] != first["model_version"]
    assert alias_version(address) == first["model_version"], "a candidate takes nothing away"
    toys.promoted(registry, two, 1)
    exported(one)
    assert alias_version(address) is None, "it does not serve any more"
    assert exported(two)["champion"]
    assert alias_version(address) == second["model_version"]


def test_many_spans_are_shortened_to_the_limit_of_a_tag(found: VersionExport, address: str) -> None:
    spans = {f"{number:06d}-{'a' * 12}": "0" * 64 for number in range(400)}
    version = found.version._replace(manifest={**found.version.manifest, "spans": spans})
    export = export_to_mlflow(found._replace(version=version), address, serves=False)
    tag = client(address).get_run(export.run).data.tags["textvae.spans"]
    first, last = f"000000-{'a' * 12}", f"000399-{'a' * 12}"
    assert tag == f"400 spans from {first} to {last}; all are in manifest.json"


def test_an_unreachable_server_is_an_error_to_try_again(found: VersionExport, address: str) -> None:
    assert address
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        there = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=f"MLflow at {there} does not answer; try again"):
            export_to_mlflow(found, there, serves=True)
    assert UnavailableError.exit_code == 75


def test_a_server_error_may_be_temporary_and_a_server_of_something_else_is_refused(
    found: VersionExport, address: str
) -> None:
    """501 to every request, then 404."""
    assert address
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(UnavailableError):
            export_to_mlflow(found, there, serves=True)
        server.RequestHandlerClass = SimpleHTTPRequestHandler
        with pytest.raises(InputError, match=f"mlflow: MLflow refuses {there}: .*404"):
            export_to_mlflow(found, there, serves=True)
        server.shutdown()


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("nonsense://there", "unsupported URI 'nonsense://there'"),
        ("http://:99:there", "Invalid url"),
        ("mlruns", "set `MLFLOW_ALLOW_FILE_STORE=true`"),
    ],
)
def test_an_error_of_mlflow_is_in_its_own_words(
    found: VersionExport, address: str, there: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    with pytest.raises(InputError, match=f"mlflow: MLflow refuses {there}: .*{message}"):
        export_to_mlflow(found, there, serves=True)


def test_without_mlflow_the_extra_is_named(
    found: VersionExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(InputError) as caught:
        export_to_mlflow(found, "http://127.0.0.1:9", serves=True)
    assert str(caught.value) == (
        "mlflow: needs the package mlflow-skinny; pip install 'textvae[mlflow]'"
    )


WATCHED = f"""
import atexit, sys
contacted = []
sys.addaudithook(lambda event, args: event in ("socket.connect", "socket.getaddrinfo")
    and contacted.append(args[:2]))
atexit.register(lambda: print(contacted))
from pathlib import Path
from jobs.export import Export, StoreConfig, main
main(Export(mlflow="mlruns", store=StoreConfig(Path("registry"), {MODEL!r})))
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client())
"""


def test_no_other_address_is_contacted(tmp_path: Path) -> None:
    """MLflow's telemetry is off under tests, so this process has no sign of one."""
    published(tmp_path)
    signs_of_tests = ("PYTEST", "CI", "GITHUB", "TF_BUILD", "BITBUCKET", "JENKINS", "MLFLOW")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(signs_of_tests)
    }
    environment.pop("DO_NOT_TRACK", None)
    environment |= {"PYTHONPATH": str(ROOT), "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "None\n[]\n", done.stderr
