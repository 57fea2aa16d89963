"""The quality table: what is done once, what is done again, and what becomes of failures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from textvae import files
from textvae.config.evaluation import EvaluationConfig
from textvae.corpus.toy_grammar import sample
from textvae.errors import DataError, InputError, NotFoundError
from textvae.experiments import work
from textvae.experiments.corpora import parse_sources, prepare_corpus
from textvae.experiments.rows import LANGUAGE_MODEL, base_recipe, check_rows, scale_of
from textvae.experiments.table import build_table, make_table
from textvae.experiments.tasks import Plan, Task, evaluation_of, recipe_of, result_of, tasks_of
from textvae.experiments.workers import run_tasks
from textvae.progress import ProgressCallback

SCALE = scale_of(
    "small",
    vocab=300,
    embed=8,
    hidden=12,
    latent=4,
    steps=6,
    language_model_steps=4,
    batch=64,
)
EVALUATION = EvaluationConfig(
    sentences=20,
    importance_samples=2,
    prior_draws=5,
    prior_components=1,
    prior_sentences=30,
    path_pairs=2,
)


class KilledError(BaseException):
    """Stands for the end of the process; no handler may take it for a failed row."""


class Steps(list[tuple[str, int]]):
    """An `on_progress` that records training steps, and may end the process at one."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        super().__init__()
        self.stop = stop
        self.calls = 0
        """Of any kind."""

    def __call__(self, what: str, done: int, parts: int, figures: object = None) -> None:
        """Only a step of a training has figures."""
        self.calls += 1
        if figures:
            self.append((what, done))
        if (what, done) == self.stop:
            raise KilledError


def plan_of(folder: Path, text: Path, **changes: Any) -> Plan:
    """Return a table that takes seconds."""
    base = base_recipe(SCALE, checkpoint_s=0.0, precision="fp32")
    corpus = prepare_corpus(parse_sources([str(text)])[0], folder, 200, base.tokenizer)
    rows = (LANGUAGE_MODEL, "plain")
    plan = Plan(
        folder, (corpus,), base, SCALE.latent, rows, (0, 1), (0.1, 0.3), EVALUATION, 0, False, 1
    )
    return plan._replace(**changes)


def bytes_of(plan: Plan) -> list[bytes]:
    """Return both files of the table."""
    return [(plan.folder / name).read_bytes() for name in ("table.json", "table.md")]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with sides of its own."""
    folder = tmp_path_factory.mktemp("text") / "Toy Corpus"
    rows = [row.text for row in sample(330, seed=0)]
    for side, part in (("train", rows[:270]), ("valid", rows[270:300]), ("test", rows[300:])):
        files.write_lines(folder / f"{side}.txt", part)
    return folder


@pytest.fixture(scope="module")
def done_plan(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Plan:
    """A finished table of two language models and one row, two seeds each."""
    plan = plan_of(tmp_path_factory.mktemp("done"), text)
    make_table(plan, 1, Steps())
    return plan


def test_what_is_done_is_not_done_again(done_plan: Plan, text: Path) -> None:
    before, steps = bytes_of(done_plan), Steps()
    make_table(plan_of(done_plan.folder, text), 1, steps)
    assert steps.calls == 0
    assert bytes_of(done_plan) == before


def test_a_table_that_is_killed_within_a_row_ends_with_the_same_bytes(
    done_plan: Plan, text: Path, tmp_path: Path
) -> None:
    """And takes no step twice but those after the newest checkpoint."""
    plan = plan_of(tmp_path, text)
    killed = Steps(("toy-corpus plain 0: vae", 4))
    with pytest.raises(KilledError):
        make_table(plan, 1, killed)
    assert build_table(plan)["missing"] == ["toy-corpus plain 0", "toy-corpus plain 1"]
    resumed = Steps()
    make_table(plan, 1, resumed)
    assert resumed[0] == ("toy-corpus plain 0: vae", 4)
    assert set(killed).isdisjoint(resumed[1:])
    assert bytes_of(plan) == bytes_of(done_plan)
    assert list(tmp_path.rglob("checkpoints")) == []


def test_other_settings_do_again_what_they_decide_and_no_more(
    text: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Other figures are measured of the same weights; other steps need other weights."""
    caplog.set_level("INFO")
    plan = plan_of(tmp_path, text, rows=(LANGUAGE_MODEL,), seeds=(0,), dropouts=(0.1,))
    task = tasks_of(plan)[0]
    make_table(plan, 1, Steps())
    fewer = plan._replace(evaluation=dataclasses.replace(EVALUATION, sentences=10))
    assert result_of(fewer, task) is None
    steps = Steps()
    make_table(fewer, 1, steps)
    assert steps == []
    found = result_of(fewer, task)
    assert found is not None
    assert found["figures"]["sentences"] == 10
    assert "is measured with other settings now" in caplog.text
    training = dataclasses.replace(plan.base.training, language_model_steps=5)
    longer = fewer._replace(base=plan.base._replace(training=training))
    make_table(longer, 1, steps)
    assert [done for _, done in steps] == [1, 2, 3, 4, 5]
    assert "its settings are not what they were, so it is done again" in caplog.text


def test_changed_text_is_read_again_and_its_rows_are_done_again(tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    config = base_recipe(SCALE).tokenizer
    prepared = []
    for count in (700, 600):
        files.write_lines(source, [row.text for row in sample(count, seed=0)])
        prepared += [
            prepare_corpus(parse_sources([str(source)])[0], tmp_path / "table", sentences, config)
            for sentences in (100, 100, 0)
        ]
    keys = [one.key for one in prepared]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    complete = prepared[-1].load()
    assert len(prepared[3].load().train) == 100
    assert len(complete.train) + len(complete.valid) + len(complete.test) == 600


def line_of(text: str, row: str) -> str:
    """Return the line of a row in the table."""
    return next(line for line in text.splitlines() if line.startswith(f"| {row} |"))


def test_a_collapsed_row_is_listed_as_collapsed(done_plan: Plan) -> None:
    """`plain` at six steps has learned nothing, and its last validation step says so."""
    found = result_of(done_plan, Task("toy-corpus", "plain", 0))
    assert found is not None
    assert found["figures"]["collapsed_at_step"] == SCALE.steps
    line = line_of((done_plan.folder / "table.md").read_text(), "plain")
    assert "collapsed; watchdog at step 6, 6 |" in line


def test_a_table_does_not_depend_on_the_machine(done_plan: Plan) -> None:
    """No path, no thread count: another machine's table can be compared to the byte."""
    text = b"".join(bytes_of(done_plan)).decode()
    assert str(done_plan.folder) not in text
    assert "/" not in json.dumps(build_table(done_plan)["settings"])
    assert build_table(done_plan._replace(threads=7)) == build_table(done_plan)


def test_a_row_that_fails_stops_only_those_that_need_it(
    done_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = done_plan._replace(folder=tmp_path)

    def fail_one_task(plan: Plan, task: Task, on_progress: ProgressCallback) -> None:
        if task == Task("toy-corpus", LANGUAGE_MODEL, 0, 0.3):
            raise DataError("the text is no text")

    monkeypatch.setattr(work, "run_task", fail_one_task)
    ended: list[Task] = []
    failures = run_tasks(plan, tasks_of(plan), 1, Steps(), ended.append)
    assert ended == tasks_of(plan)
    assert [failure.task.name for failure in failures] == [
        "toy-corpus language-model 0.3 0",
        "toy-corpus plain 0",
    ]
    assert failures[1].message == "needs toy-corpus language-model 0.3 0, which failed"
    with pytest.raises(DataError, match=r"0.3 0: the text is no text; in all 2 rows failed"):
        make_table(plan, 1, Steps())


def test_a_wrong_name_is_refused_with_the_known_names(tmp_path: Path, text: Path) -> None:
    with pytest.raises(InputError, match=r"rows: must be among language-model, plain, .*, got 'x'"):
        check_rows(("lm", "x"))
    with pytest.raises(
        NotFoundError, match="no such file or folder; --corpora takes the word demo"
    ):
        parse_sources([str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match="the name 'toy-corpus' is empty or taken; rename"):
        parse_sources([str(text), str(text)])
    files.write_lines(tmp_path / "half" / "train.txt", ["one sentence"])
    with pytest.raises(DataError, match="a file for train and none for valid, test"):
        prepare_corpus(
            parse_sources([str(tmp_path / "half")])[0], tmp_path, 0, base_recipe(SCALE).tokenizer
        )


def test_only_rows_about_the_likelihood_take_its_samples(done_plan: Plan) -> None:
    plan = done_plan._replace(likelihood_samples=9)
    samples = {
        row: evaluation_of(plan, Task("toy-corpus", row, 0)).importance_samples
        for row in (LANGUAGE_MODEL, "lm", "plain", "edit")
    }
    assert samples == {LANGUAGE_MODEL: 2, "lm": 9, "plain": 9, "edit": 2}
    assert recipe_of(plan, Task("toy-corpus", LANGUAGE_MODEL, 1, 0.3)).model.dropout == 0.3


def test_a_row_that_learns_from_groups_has_the_figures_of_its_variations(tmp_path: Path) -> None:
    """Beside those of its draws, in a table of their own; the same recipe without siblings has
    none."""
    pairs = [(row.text, f"{row.text} , so") for row in sample(200, seed=1)]
    rows = [
        {"text": text, "group": str(number)} for number, pair in enumerate(pairs) for text in pair
    ]
    files.write_lines(tmp_path / "pairs.jsonl", map(json.dumps, rows))
    names = (LANGUAGE_MODEL, "paraphrase", "paraphrase-without-siblings")
    plan = plan_of(tmp_path / "table", tmp_path / "pairs.jsonl", rows=names, seeds=(0,))
    page = make_table(plan, 1, Steps()).read_text(encoding="utf-8")
    found = json.loads((plan.folder / "table.json").read_bytes())["corpora"]["pairs"]["rows"]
    rephrased, drawn = (row["figures"] for row in found)
    assert rephrased["variation_groups"]["mean"] >= 2
    assert rephrased["siblings"]["mean"] > 100
    assert {"variation_ibleu", "drawn_ibleu", "variation_adequacy"} <= set(rephrased)
    assert not any(name.startswith("variation") for name in drawn)
    section = page.split("Variations of held-out groups")[1].split("## Rows")[0]
    assert "| iBLEU |" in section
    assert "| paraphrase | 0 |" in section
    assert "paraphrase-without-siblings" not in section
