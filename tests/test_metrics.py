"""metrics.jsonl: complete lines, no step twice, and a mark wherever a run was resumed."""

from pathlib import Path

import pytest

from textvae.errors import CorruptError, NotFoundError
from textvae.reporting.plots import draw_losses
from textvae.training.metrics import Metrics, read_metrics
from textvae.training.ranks import current_ranks

STEPS = 24


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    """Six lines of a phase, every fourth step."""
    metrics = Metrics(tmp_path / "metrics.jsonl", "vae", current_ranks())
    for step in range(4, STEPS + 1, 4):
        figures = {"kl_nats": 30.0 / step, "reconstruction_nats": 40.0 / step, "kl_weight": 0.5}
        metrics.write(step, figures)
    return metrics


def read_entries(metrics: Metrics) -> list[tuple[str, int, bool]]:
    """Phase and step of each line, and whether it is a mark."""
    lines = read_metrics(metrics.path)
    return [(line["phase"], line["step"], "resumed" in line) for line in lines]


def test_a_resumed_run_drops_later_steps_and_is_marked(metrics: Metrics) -> None:
    metrics.resume(13, STEPS)
    steps = [("vae", step, False) for step in (4, 8, 12)]
    assert read_entries(metrics) == [*steps, ("vae", 13, True)]


def test_a_run_that_is_resumed_twice_from_one_checkpoint_has_one_mark(metrics: Metrics) -> None:
    metrics.resume(12, STEPS)
    metrics.write(16, {"kl_nats": 1.0})
    metrics.resume(12, STEPS)
    metrics.resume(12, STEPS)
    assert read_entries(metrics)[2:] == [("vae", 12, False), ("vae", 12, True)]
    metrics.write(16, {"kl_nats": 1.0})
    metrics.resume(18, STEPS)
    assert [step for _, step, mark in read_entries(metrics) if mark] == [12, 18], (
        "both cuts are marked"
    )


@pytest.mark.parametrize("step", [0, STEPS])
def test_neither_a_beginning_nor_an_end_is_marked(metrics: Metrics, step: int) -> None:
    before = read_entries(metrics)
    metrics.resume(step, STEPS)
    assert read_entries(metrics) == (before if step else [])


def test_the_marks_of_one_phase_stand_when_another_is_resumed(metrics: Metrics) -> None:
    metrics.resume(20, STEPS)
    metrics.write(24, {"kl_nats": 1.0})
    later = metrics._replace(phase="language-model")
    metrics.resume(STEPS, STEPS)
    later.write(4, {"reconstruction_nats": 1.0})
    later.resume(5, STEPS)
    marks = [(phase, step) for phase, step, mark in read_entries(metrics) if mark]
    assert marks == [("vae", 20), ("language-model", 5)]


def test_the_picture_of_losses_shows_where_the_run_was_resumed(
    metrics: Metrics, tmp_path: Path
) -> None:
    """And is the same picture for the same lines."""
    pictures = [tmp_path / f"{number}.png" for number in range(3)]
    metrics.write(STEPS, {"valid_kl_nats": 1.0, "valid_reconstruction_nats": 2.0})
    draw_losses(metrics.path, pictures[0])
    draw_losses(metrics.path, pictures[1])
    with_mark = metrics.path.read_text() + '{"phase": "vae", "step": 10, "resumed": true}\n'
    metrics.path.write_text(with_mark)
    draw_losses(metrics.path, pictures[2])
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert pictures[1].read_bytes() != pictures[2].read_bytes()


def test_a_line_that_is_being_written_is_left_out_and_a_broken_one_is_named(
    metrics: Metrics, tmp_path: Path
) -> None:
    complete = read_entries(metrics)
    text = metrics.path.read_text()
    metrics.path.write_text(text + '{"phase": "vae", "st')
    assert read_entries(metrics) == complete
    for broken in ("{]", "[]", '{"step": 3}', '{"phase": "vae", "step": null}', "\udcff"):
        metrics.path.write_text(text + broken + "\n", errors="surrogateescape")
        with pytest.raises(
            CorruptError, match=r"metrics\.jsonl: line 7 is not an entry of metrics"
        ):
            read_entries(metrics)
    with pytest.raises(NotFoundError, match=r"nothing\.jsonl: cannot be read: No such file"):
        read_metrics(tmp_path / "nothing.jsonl")
