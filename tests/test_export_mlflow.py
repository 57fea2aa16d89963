"""What leaves for MLflow, read back by MLflow's own client from a store of its own."""

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
from textvae.reporting.mlflow import ALIAS, PROOF, export_to_mlflow
from textvae.store.attachments import attach
from textvae.store.versions import Version, publish

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed; make test-extras")


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder in which MLflow keeps what it is told."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture
def found(tmp_path: Path) -> VersionExport:
    """A version of two phases and one evaluation."""
    return collect_export(*published(tmp_path))


def client(address: str) -> Any:
    """MLflow's own."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(address, address)


def history(address: str, run: str) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every figure of a run, as often as MLflow has them."""
    asked = client(address)
    return {
        name: sorted((metric.step, metric.value) for metric in asked.get_metric_history(run, name))
        for name in asked.get_run(run).data.metrics
    }


def holder(address: str) -> str | None:
    """The registered model's version that the alias is on."""
    at = client(address).get_registered_model(MODEL).aliases.get(ALIAS)
    return None if at is None else str(at)


def test_a_run_in_mlflow_says_all_that_is_known(found: VersionExport, address: str) -> None:
    handed = export_to_mlflow(found, address, serves=True)
    run = client(address).get_run(handed.run)
    assert history(address, handed.run) == {
        "evaluation/elbo_nats": [(0, -20.5)],
        "evaluation/active_units": [(0, 2.0)],
        "vae/kl_nats": [(4, 7.5), (8, 3.75), (12, 2.5)],
        "vae/kl_weight": [(4, 0.5), (8, 0.5), (12, 0.5)],
        "vae/valid_kl_nats": [(12, 2.25)],
        "language-model/reconstruction_nats": [(4, 10.25)],
        "language-model/valid_nats": [(4, 10.5)],
    }
    assert run.data.params == dict(found.settings)
    tags = {name: told for name, told in run.data.tags.items() if name.startswith("textvae.")}
    assert tags == {
        "textvae.version": found.version.name,
        PROOF: found.version.manifest_sha256,
        "textvae.parent": "none",
        "textvae.spans": "000001-0123456789ab 000002-ab",
    }
    assert (run.info.status, run.info.run_name) == ("FINISHED", found.version.name)
    assert client(address).get_experiment(run.info.experiment_id).name == MODEL
    assert handed.points == sum(map(len, history(address, handed.run).values()))


def test_mlflow_has_the_files_of_the_version_to_the_byte(
    found: VersionExport, address: str, tmp_path: Path
) -> None:
    handed = export_to_mlflow(found, address, serves=True)
    (tmp_path / "back").mkdir()
    back = Path(client(address).download_artifacts(handed.run, "version", str(tmp_path / "back")))
    kept = {path.name: path.read_bytes() for path in found.version.folder.iterdir()}
    assert {path.name: path.read_bytes() for path in back.iterdir()} == kept
    assert handed.artifacts == len(kept)
    made = client(address).get_model_version(MODEL, handed.model_version)
    assert (made.run_id, made.tags[PROOF]) == (handed.run, found.version.manifest_sha256)
    assert made.source.endswith("/artifacts/version")


def test_what_mlflow_has_is_not_sent_again(found: VersionExport, address: str) -> None:
    first = export_to_mlflow(found, address, serves=True)
    before = history(address, first.run)
    again = export_to_mlflow(found, address, serves=True)
    assert again == first._replace(points=0, artifacts=0)
    assert history(address, first.run) == before
    assert len(client(address).search_model_versions(f"name = '{MODEL}'")) == 1


def test_an_export_that_was_cut_off_is_completed(
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


def test_what_is_learned_of_a_version_later_is_sent_by_the_next_export(
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
        told: dict[str, Any] = main(Export(version.name, mlflow=address, store=store))["mlflow"]
        return told

    first = exported(one)
    assert (first["champion"], holder(address)) == (False, None)
    toys.promoted(registry, one)
    assert exported(one)["champion"]
    assert holder(address) == first["model_version"]
    second = exported(two)
    assert second["model_version"] != first["model_version"]
    assert holder(address) == first["model_version"], "a candidate takes nothing away"
    toys.promoted(registry, two, 1)
    exported(one)
    assert holder(address) is None, "it does not serve any more"
    assert exported(two)["champion"]
    assert holder(address) == second["model_version"]


def test_many_spans_are_told_within_a_tags_limit(found: VersionExport, address: str) -> None:
    spans = {f"{number:06d}-{'a' * 12}": "0" * 64 for number in range(400)}
    version = found.version._replace(manifest={**found.version.manifest, "spans": spans})
    handed = export_to_mlflow(found._replace(version=version), address, serves=False)
    said = client(address).get_run(handed.run).data.tags["textvae.spans"]
    first, last = f"000000-{'a' * 12}", f"000399-{'a' * 12}"
    assert said == f"400 spans from {first} to {last}; all are in manifest.json"


def test_a_server_that_is_not_there_is_an_error_to_try_again(
    found: VersionExport, address: str
) -> None:
    assert address
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        there = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=f"MLflow at {there} does not answer; try again"):
            export_to_mlflow(found, there, serves=True)
    assert UnavailableError.exit_code == 75


def test_a_server_in_trouble_may_recover_and_one_of_something_else_never_will(
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
    ("there", "said"),
    [
        ("nonsense://there", "unsupported URI 'nonsense://there'"),
        ("http://:99:there", "Invalid url"),
        ("mlruns", "set `MLFLOW_ALLOW_FILE_STORE=true`"),
    ],
)
def test_what_mlflow_refuses_is_said_in_its_words(
    found: VersionExport, address: str, there: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    with pytest.raises(InputError, match=f"mlflow: MLflow refuses {there}: .*{said}"):
        export_to_mlflow(found, there, serves=True)


def test_without_mlflow_the_extra_is_named(
    found: VersionExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(InputError) as caught:
        export_to_mlflow(found, "http://127.0.0.1:9", serves=True)
    assert str(caught.value) == (
        "mlflow: needs the package mlflow-skinny; pip install textvae[mlflow]"
    )


WATCHED = f"""
import atexit, sys
asked = []
sys.addaudithook(lambda event, told: event in ("socket.connect", "socket.getaddrinfo")
    and asked.append(told[:2]))
atexit.register(lambda: print(asked))
from pathlib import Path
from jobs.export import Export, StoreConfig, main
main(Export(mlflow="mlruns", store=StoreConfig(Path("registry"), {MODEL!r})))
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client())
"""


def test_nobody_but_the_address_is_told(tmp_path: Path) -> None:
    """MLflow's telemetry is off where it sees tests, so this process looks like none."""
    published(tmp_path)
    looks_like_tests = ("PYTEST", "CI", "GITHUB", "TF_BUILD", "BITBUCKET", "JENKINS", "MLFLOW")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(looks_like_tests)
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
