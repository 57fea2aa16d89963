"""The contract: what is generated is what the protos say, and the protos pass buf's lint."""

import subprocess
import sys
from pathlib import Path

import pytest

from textvae.v1 import model_pb2, textvae_pb2

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
def test_every_method_may_be_repeated_and_says_so(file: textvae_pb2.DESCRIPTOR.__class__) -> None:
    for service in file.services_by_name.values():
        for method in service.methods:
            options = method.GetOptions()
            assert options.idempotency_level == options.NO_SIDE_EFFECTS, method.full_name


@pytest.mark.parametrize(
    "name", ["Encode", "Decode", "Sample", "Interpolate", "Paraphrase", "Score"]
)
def test_every_request_takes_seed_and_first_index_and_every_response_tells_how(name: str) -> None:
    messages = textvae_pb2.DESCRIPTOR.message_types_by_name
    asked = messages[f"{name}Request"].fields_by_name
    assert asked["seed"].has_presence
    assert "first_index" in asked
    answered = messages[f"{name}Response"].fields_by_name
    assert answered["metadata"].message_type.name == "Metadata"
