"""The contract: what is generated is what the protos say, and the protos pass buf's lint."""

import subprocess
import sys
from pathlib import Path

import pytest

from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.operations.score import ScoreRequest
from textvae.options import (
    CLOSENESS_DEFAULT,
    GREEDY,
    IMPORTANCE_SAMPLES_DEFAULT,
    METHOD_DEFAULT,
    RADIUS_DEFAULT,
    SCALE_DEFAULT,
    Options,
)
from textvae.serve import requests
from textvae.v1 import model_pb2, textvae_pb2
from textvae.v1 import textvae_pb2 as pb

ROOT = Path(__file__).parent.parent
GENERATED = ROOT / "textvae/v1"
TOOLS = Path(sys.executable).parent
PROTOS = sorted(str(path.relative_to(ROOT / "protos")) for path in ROOT.glob("protos/**/*.proto"))


def test_the_generated_code_is_what_the_protos_give(tmp_path: Path) -> None:
    plugins = [f"--plugin={TOOLS / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    kinds = ["--python_out", "--grpc_python_out", "--mypy_out", "--mypy_grpc_out"]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "protos", *plugins]
    command += [f"{kind}={tmp_path}" for kind in kinds] + PROTOS
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "textvae/v1").iterdir()}
    committed = {path.name: path.read_bytes() for path in GENERATED.glob("*_pb2*.py*")}
    assert committed.keys() == fresh.keys()
    stale = [name for name in fresh if committed[name] != fresh[name]]
    assert not stale, f"{stale} differ from the protos; make protos"


@pytest.mark.skipif(not (TOOLS / "buf").exists(), reason="buf is not installed")
def test_the_protos_pass_buf_lint() -> None:
    lint = subprocess.run([TOOLS / "buf", "lint"], cwd=ROOT, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout + lint.stderr


@pytest.mark.parametrize(
    "file", [textvae_pb2.DESCRIPTOR, model_pb2.DESCRIPTOR], ids=lambda f: f.name
)
def test_every_method_is_declared_without_side_effects(
    file: textvae_pb2.DESCRIPTOR.__class__,
) -> None:
    for service in file.services_by_name.values():
        for method in service.methods:
            options = method.GetOptions()
            assert options.idempotency_level == options.NO_SIDE_EFFECTS, method.full_name


@pytest.mark.parametrize(
    "name", ["Encode", "Decode", "Sample", "Interpolate", "Paraphrase", "Score"]
)
def test_every_request_takes_seed_and_first_index_and_every_response_reports_how(name: str) -> None:
    messages = textvae_pb2.DESCRIPTOR.message_types_by_name
    request = messages[f"{name}Request"].fields_by_name
    assert request["seed"].has_presence
    assert "first_index" in request
    response = messages[f"{name}Response"].fields_by_name
    assert response["metadata"].message_type.name == "Metadata"


def test_the_options_of_the_contract_are_those_of_the_code() -> None:
    """By name; a default other than 0 needs a field that can be unset."""
    fields = pb.Options.DESCRIPTOR.fields
    assert sorted(field.name for field in fields) == sorted(Options._fields)
    optional = {field.name for field in fields if field.has_presence}
    assert optional == {name for name, default in GREEDY._asdict().items() if default != 0}


def test_a_request_without_its_optional_fields_has_the_defaults_of_the_code() -> None:
    space = requests.Space("20200101-0123456789ab", 4)
    sampled = requests.sample(pb.SampleRequest(count=2, seed=1), space)
    assert sampled == SampleRequest(2, "auto", SCALE_DEFAULT, GREEDY, 1, 0)
    varied = requests.paraphrase(pb.ParaphraseRequest(sentences=["a"], count=2, seed=1), space)
    assert varied == ParaphraseRequest(("a",), 2, RADIUS_DEFAULT, False, GREEDY, seed=1)
    assert (varied.method, varied.closeness) == (METHOD_DEFAULT, CLOSENESS_DEFAULT)
    scored = requests.score(pb.ScoreRequest(sentences=["a"], seed=1), space)
    assert scored == ScoreRequest(("a",), IMPORTANCE_SAMPLES_DEFAULT, 1, 0)
    ends = [pb.Endpoint(sentence="a"), pb.Endpoint(sentence="b")]
    walked = requests.interpolate(pb.InterpolateRequest(points=ends, steps=3, seed=1), space)
    assert walked == InterpolateRequest(("a", "b"), 3, "lerp", GREEDY, 1, 0)


@pytest.mark.parametrize("name", Options._fields)
def test_every_option_of_a_message_reaches_the_request(name: str) -> None:
    value = 0.75 if name.endswith("_p") else 3
    message = pb.SampleRequest(count=1, options=pb.Options(**{name: value}))
    request = requests.sample(message, requests.Space("20200101-0123456789ab", 4))
    assert request.options == GREEDY._replace(**{name: value})


def test_the_comments_of_the_contract_state_the_defaults_of_the_code() -> None:
    text = " ".join((ROOT / "protos/textvae/v1/textvae.proto").read_text().split())
    for field, default in (
        ("optional uint32 importance_samples", IMPORTANCE_SAMPLES_DEFAULT),
        ("optional double scale", SCALE_DEFAULT),
        ("optional double radius", RADIUS_DEFAULT),
        ("optional double closeness", CLOSENESS_DEFAULT),
    ):
        comment = text.partition(field)[0][-250:]
        assert f"nset is {default:g}" in comment, field
