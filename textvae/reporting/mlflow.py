"""A version and its training handed to MLflow, for those who look there: nothing of ours reads it.

What MLflow has already is left, what it lacks is sent: so an export may be cut off and repeated,
and what is learned of a version later (an evaluation, a report) is sent by the next one.
"""

import os
import time
from typing import Any, NamedTuple

from textvae.errors import InputError, TextVaeError, UnavailableError
from textvae.reporting.export import HELD_OUT, VersionExport

ALIAS = "champion"
PROOF = "textvae.manifest_sha256"
"""The tag by which a version is found again: a name could be another registry's."""
REPORT = "textvae.report"
VERSION_FOLDER, REPORT_FOLDER = "version", "report"
TAG_CHARACTERS_MAX = 5000
"""What every MLflow takes in a tag."""
# By itself MLflow tries for two minutes to reach a server that is not there.
RETRIES = "2"
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


class MlflowExport(NamedTuple):
    """Where a version is in MLflow, and what this export added."""

    run: str
    model_version: str
    """Number of the registered model's version."""
    champion: bool
    """Whether the alias stands on it now."""
    points: int
    """How many figures were sent."""
    artifacts: int
    """How many files were sent."""


def export_to_mlflow(found: VersionExport, uri: str, serves: bool) -> MlflowExport:
    """The version is a run and a registered model's version at `uri`, and the alias `champion` is
    on it if and only if it `serves`.

    InputError where MLflow is not installed or refuses what is asked of it; UnavailableError where
    its server does not answer.
    """
    # MLflow tells its makers how it is used unless it is forbidden before it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
        from requests import RequestException
    except ImportError:
        raise InputError(
            "mlflow", "needs the package mlflow-skinny; pip install textvae[mlflow]"
        ) from None
    try:
        return _handed(MlflowClient(tracking_uri=uri, registry_uri=uri), found, serves)
    except MlflowException as error:
        status: int = error.get_http_status_code()  # type: ignore[no-untyped-call,unused-ignore]
        raise _in_words(error, status, uri) from None
    except RequestException as error:
        status = SERVER_ERROR if error.response is None else error.response.status_code
        raise _in_words(error, status, uri) from None
    except ImportError as error:
        # A server may keep its files in a cloud whose client is not installed here.
        raise InputError("mlflow", f"{uri} needs more to be installed here: {error}") from None


def _handed(client: Any, found: VersionExport, serves: bool) -> MlflowExport:
    """All of it; a model's version is registered when its files are there."""
    run = _run(client, found)
    points = _send_figures(client, run, found)
    artifacts = _send_files(client, run, found)
    if run.info.status != "FINISHED":
        client.set_terminated(run.info.run_id)
    model_version = _model_version(client, run, found)
    _set_alias(client, found.version.model, model_version, serves)
    return MlflowExport(run.info.run_id, model_version, serves, points, artifacts)


def _run(client: Any, found: VersionExport) -> Any:
    """The run of this version, or a new one; its experiment has the model's name."""
    version = found.version
    experiment = client.get_experiment_by_name(version.model)
    place = experiment.experiment_id if experiment else client.create_experiment(version.model)
    same = f"tags.`{PROOF}` = '{version.manifest_sha256}'"
    runs = client.search_runs([place], same, max_results=1, order_by=["attributes.start_time ASC"])
    if runs:
        return runs[0]
    return client.create_run(place, run_name=version.name, tags=_tags(found))


def _tags(found: VersionExport) -> dict[str, str]:
    """What a version is and what it was made of."""
    version = found.version
    names = list(version.manifest.get("spans", {}))
    spans = " ".join(names)
    if len(spans) > TAG_CHARACTERS_MAX:
        spans = f"{len(names)} spans from {names[0]} to {names[-1]}; all are in manifest.json"
    return {
        "textvae.version": version.name,
        PROOF: version.manifest_sha256,
        "textvae.parent": version.manifest.get("parent") or "none",
        "textvae.spans": spans,
    }


def _send_figures(client: Any, run: Any, found: VersionExport) -> int:
    """Settings, figures and curves that the run lacks; how many figures were sent."""
    from mlflow.entities import Metric, Param

    number, known, now_ms = run.info.run_id, run.data.metrics, int(time.time() * 1000)
    figures = {f"evaluation/{name}": value for name, value in found.numbers().items()}
    metrics = [
        Metric(name, value, now_ms, 0)
        for name, value in figures.items()
        if known.get(name) != value
    ]
    for curve in found.curves:
        name = f"{curve.phase}/{HELD_OUT if curve.held_out else ''}{curve.figure}"
        history = client.get_metric_history(number, name) if name in known else []
        steps = {metric.step for metric in history}
        metrics += [
            Metric(name, point.value, now_ms, point.step)
            for point in curve.points
            if point.step not in steps
        ]
    # Settings never change, and MLflow takes what it has already; it cuts long lists itself.
    settings = [Param(name, value) for name, value in found.settings.items()]
    client.log_batch(number, metrics=metrics, params=settings)
    return len(metrics)


def _send_files(client: Any, run: Any, found: VersionExport) -> int:
    """The files of the version that the run lacks, and its newest report; how many were sent."""
    number, sent = run.info.run_id, 0
    there = {file.path: file.file_size for file in client.list_artifacts(number, VERSION_FOLDER)}
    for path in sorted(found.version.folder.iterdir()):
        if there.get(f"{VERSION_FOLDER}/{path.name}") != path.stat().st_size:
            client.log_artifact(number, str(path), VERSION_FOLDER)
            sent += 1
    if found.report and run.data.tags.get(REPORT) != found.report_name:
        for name, text in found.report.items():
            client.log_text(number, text, f"{REPORT_FOLDER}/{name}")
            sent += 1
        client.set_tag(number, REPORT, found.report_name)
    return sent


def _model_version(client: Any, run: Any, found: VersionExport) -> str:
    """The number of the registered model's version that this run is, or a new one's."""
    name, number = found.version.model, run.info.run_id
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    same = client.search_model_versions(f"name = '{name}' and run_id = '{number}'")
    made = same or [
        client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/{VERSION_FOLDER}",
            run_id=number,
            tags=_tags(found),
            await_creation_for=0,
        )
    ]
    return str(made[0].version)


def _set_alias(client: Any, name: str, model_version: str, serves: bool) -> None:
    """The alias is on a version that serves, and no longer on one that does not."""
    holder = client.get_registered_model(name).aliases.get(ALIAS)
    if serves and str(holder) != model_version:
        client.set_registered_model_alias(name, ALIAS, model_version)
    elif not serves and str(holder) == model_version:
        client.delete_registered_model_alias(name, ALIAS)


def _in_words(error: Exception, status: int, uri: str) -> TextVaeError:
    """What MLflow said, as an error of ours."""
    from mlflow.exceptions import InvalidUrlException

    said = " ".join(str(error).split())
    silent = status >= SERVER_ERROR or status == TOO_MANY_REQUESTS
    if silent and not isinstance(error, InvalidUrlException):
        return UnavailableError(f"MLflow at {uri} does not answer; try again: {said}")
    return InputError("mlflow", f"MLflow refuses {uri}: {said}")
