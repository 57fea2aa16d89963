"""Export of a version and its training to MLflow: a copy that textvae never reads.

Only what MLflow lacks is sent: so an export may be interrupted and repeated, and later attachments
of a version (an evaluation, a report) are sent by the next one.
"""

import os
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from textvae.errors import InputError, TextVaeError, UnavailableError
from textvae.installation import how_to_install
from textvae.proxies import pass_by_proxies
from textvae.reporting.export import HELD_OUT, VersionExport

ALIAS = "champion"
MANIFEST_TAG = "textvae.manifest_sha256"
"""The tag that identifies a version: its name could also be another registry's."""
REPORT = "textvae.report"
VERSION_FOLDER, REPORT_FOLDER = "version", "report"
TAG_CHARACTERS_MAX = 5000
"""The length that every version of MLflow allows."""
# By default MLflow retries an unreachable server for two minutes.
RETRIES = "2"
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


class MlflowExport(NamedTuple):
    """Where a version is in MLflow, and what this export added."""

    run: str
    model_version: str
    """Number of the registered model's version."""
    champion: bool
    """Whether it has the alias now."""
    points: int
    """How many figures were sent."""
    artifacts: int
    """How many files were sent."""


def export_to_mlflow(found: VersionExport, uri: str, serves: bool) -> MlflowExport:
    """Write the version as a run and a registered model's version at `uri`, and set the alias
    `champion` on it if and only if it `serves`.

    Raises InputError where MLflow is not installed or refuses a request, UnavailableError where its
    server does not answer.
    """
    # MLflow sends telemetry unless that is disabled before it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    pass_by_proxies(urlsplit(uri).hostname or "")  # of requests
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
        from requests import RequestException
    except ImportError:
        raise InputError(
            "mlflow", f"needs the package mlflow-skinny; {how_to_install('mlflow')}"
        ) from None
    try:
        return _export(MlflowClient(tracking_uri=uri, registry_uri=uri), found, serves)
    except MlflowException as error:
        status: int = error.get_http_status_code()  # type: ignore[no-untyped-call,unused-ignore]
        raise _convert_error(error, status, uri) from None
    except RequestException as error:
        status = SERVER_ERROR if error.response is None else error.response.status_code
        raise _convert_error(error, status, uri) from None
    except ImportError as error:
        # A server may keep its files in a cloud whose client is not installed here.
        raise InputError("mlflow", f"{uri} needs more to be installed here: {error}") from None


def _export(client: Any, found: VersionExport, serves: bool) -> MlflowExport:
    """Export everything; a model's version is registered once its files are there."""
    run = _find_or_create_run(client, found)
    points = _send_figures(client, run, found)
    artifacts = _send_files(client, run, found)
    if run.info.status != "FINISHED":
        client.set_terminated(run.info.run_id)
    model_version = _register_version(client, run, found)
    _set_alias(client, found.version.model, model_version, serves)
    return MlflowExport(run.info.run_id, model_version, serves, points, artifacts)


def _find_or_create_run(client: Any, found: VersionExport) -> Any:
    """Return the run of this version, or a new one; its experiment has the model's name."""
    version = found.version
    experiment = client.get_experiment_by_name(version.model)
    experiment_id = (
        experiment.experiment_id if experiment else client.create_experiment(version.model)
    )
    same_version = f"tags.`{MANIFEST_TAG}` = '{version.manifest_sha256}'"
    runs = client.search_runs(
        [experiment_id], same_version, max_results=1, order_by=["attributes.start_time ASC"]
    )
    if runs:
        return runs[0]
    return client.create_run(experiment_id, run_name=version.name, tags=_tags(found))


def _tags(found: VersionExport) -> dict[str, str]:
    """Return the tags of a version: its name, manifest, parent and spans."""
    version = found.version
    names = list(version.manifest.get("spans", {}))
    spans = " ".join(names)
    if len(spans) > TAG_CHARACTERS_MAX:
        spans = f"{len(names)} spans from {names[0]} to {names[-1]}; all are in manifest.json"
    return {
        "textvae.version": version.name,
        MANIFEST_TAG: version.manifest_sha256,
        "textvae.parent": version.manifest.get("parent") or "none",
        "textvae.spans": spans,
    }


def _send_figures(client: Any, run: Any, found: VersionExport) -> int:
    """Send the settings, figures and curves that the run lacks; return the number of figures."""
    from mlflow.entities import Metric, Param

    run_id, stored, now_ms = run.info.run_id, run.data.metrics, int(time.time() * 1000)
    figures = {f"evaluation/{name}": value for name, value in found.numbers().items()}
    metrics = [
        Metric(name, value, now_ms, 0)
        for name, value in figures.items()
        if stored.get(name) != value
    ]
    for curve in found.curves:
        name = f"{curve.phase}/{HELD_OUT if curve.held_out else ''}{curve.figure}"
        history = client.get_metric_history(run_id, name) if name in stored else []
        steps = {metric.step for metric in history}
        metrics += [
            Metric(name, point.value, now_ms, point.step)
            for point in curve.points
            if point.step not in steps
        ]
    # Settings never change, and MLflow accepts equal ones again; it splits long lists itself.
    settings = [Param(name, value) for name, value in found.settings.items()]
    client.log_batch(run_id, metrics=metrics, params=settings)
    return len(metrics)


def _send_files(client: Any, run: Any, found: VersionExport) -> int:
    """Send the version's files that the run lacks, and its newest report; return their number."""
    run_id, sent = run.info.run_id, 0
    stored = {file.path: file.file_size for file in client.list_artifacts(run_id, VERSION_FOLDER)}
    for path in sorted(found.version.folder.iterdir()):
        if stored.get(f"{VERSION_FOLDER}/{path.name}") != path.stat().st_size:
            client.log_artifact(run_id, str(path), VERSION_FOLDER)
            sent += 1
    if found.report and run.data.tags.get(REPORT) != found.report_name:
        for name, text in found.report.items():
            client.log_text(run_id, text, f"{REPORT_FOLDER}/{name}")
            sent += 1
        client.set_tag(run_id, REPORT, found.report_name)
    return sent


def _register_version(client: Any, run: Any, found: VersionExport) -> str:
    """Return the number of this run's version of the registered model; create what is missing."""
    name, run_id = found.version.model, run.info.run_id
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    stored = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    versions = stored or [
        client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/{VERSION_FOLDER}",
            run_id=run_id,
            tags=_tags(found),
            await_creation_for=0,
        )
    ]
    return str(versions[0].version)


def _set_alias(client: Any, name: str, model_version: str, serves: bool) -> None:
    """Set the alias on a version that serves, and remove it from one that does not."""
    current = client.get_registered_model(name).aliases.get(ALIAS)
    if serves and str(current) != model_version:
        client.set_registered_model_alias(name, ALIAS, model_version)
    elif not serves and str(current) == model_version:
        client.delete_registered_model_alias(name, ALIAS)


def _convert_error(error: Exception, status: int, uri: str) -> TextVaeError:
    """Return MLflow's error as one of ours, in its own words."""
    from mlflow.exceptions import InvalidUrlException

    message = " ".join(str(error).split())
    temporary = status >= SERVER_ERROR or status == TOO_MANY_REQUESTS
    if temporary and not isinstance(error, InvalidUrlException):
        return UnavailableError(f"MLflow at {uri} does not answer; try again: {message}")
    return InputError("mlflow", f"MLflow refuses {uri}: {message}")
