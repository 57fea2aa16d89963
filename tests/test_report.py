"""The report of a version: whole in itself, and telling what changed."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.job_runs import NIGHT_CONFIG, prepared, ran_job
from tests.toys import AT
from textvae.config.serve import ServeConfig
from textvae.reporting.history import HistoryEntry
from textvae.reporting.page import Findings, Side, card, report_files
from textvae.reporting.probes import STEPS, probe_outputs
from textvae.store.versions import Version

FIGURES = {
    "sentences": 5,
    "elbo_nats": -20.5,
    "kl_nats": 6.25,
    "reconstruction_exact": None,
    "kl_nats_by_dimension": [1.0, 3.0, 2.25],
}
PROBES = ("the dog runs", "a <b>bold</b> cat sleeps", "we see a bird")


@pytest.fixture
def found(toy_version: tuple[Path, Version]) -> Findings:
    """The toy version against itself, which speaks otherwise here and there."""
    registry, version = toy_version
    voice = probe_outputs(registry, version, PROBES, ServeConfig())
    old = voice._replace(reconstructions=["the dog sings", *voice.reconstructions[1:]])
    return Findings(
        Side(version, FIGURES, [-20.0, -21.0, -20.5], voice),
        Side(version, {**FIGURES, "kl_nats": 7.5}, [-20.5, -21.0, -20.0], old),
        PROBES,
        [{"decision": "rejected", "reasons": ["it is worse & worse"], "worse_bound_nats": 0.125}],
        "healthy",
        ["the decoder listens"],
        {"000001-0123456789ab": ["lines read 5"]},
        None,
        [
            HistoryEntry(2, True, "20260103-aaaaaaaaaaaa", AT, "the gate", "it is worse & worse"),
            HistoryEntry(2, False, version.name, AT, "ann@<there>", "accepted"),
        ],
    )


def test_a_page_needs_nothing_beside_it(found: Findings) -> None:
    """No script, no address, and pictures inside."""
    page = report_files(found)["index.html"].decode()
    assert not re.findall("https?:|<script|<link", page)
    sources = re.findall('src="([^"]*)', page)
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_a_page_tells_what_gate_and_doctor_said_and_both_sides_figures(found: Findings) -> None:
    page = report_files(found)["index.html"].decode()
    for said in (
        *("<b>rejected</b>", "it is worse &amp; worse", "0.125", "The doctor: healthy"),
        *("the decoder listens", "lines read 5"),
        "<td>KL, nats</td><td>6.25</td><td>7.5</td>",
        "<td>reconstruction exact</td><td>-</td><td>-</td>",
    ):
        assert said in page


def test_a_page_tells_how_the_newest_text_drifted_beside_the_other_text(found: Findings) -> None:
    test = {"before": {"mean": 1.5}, "now": {"mean": 2.25}, "ks": 0.5, "p": 0.0, "drifted": True}
    calm = {**test, "drifted": False}
    drift = {"said": "", "nats_per_token": test, "byte_share": calm}
    decision = {"decision": "accepted", "against": "20260101-0", "at": "today", "drift": drift}
    page = report_files(found._replace(decisions=[decision]))["index.html"].decode()
    text = page.partition("<h2>The text</h2>")[2]
    assert "<h3>The newest text under 20260101-0, today</h3>" in text
    assert "stranger to it: mean 2.25 against 1.50 nats a token, KS 0.50, p &lt; 0.001" in text
    assert "nats_per_token" not in page


def test_what_is_written_otherwise_than_before_stands_out(found: Findings) -> None:
    page = report_files(found)["index.html"].decode()
    marked = re.findall("<tr class=changed>(.*?)</tr>", page)
    assert len(marked) == 1
    assert "the dog sings" in marked[0]
    assert found.candidate.voice.reconstructions[0] in marked[0]


def test_text_is_shown_and_never_run(found: Findings) -> None:
    page = report_files(found)["index.html"].decode()
    assert "a &lt;b&gt;bold&lt;/b&gt; cat sleeps" in page
    assert "<b>bold" not in page


def test_a_page_tells_the_promotions_and_who_was_rejected_between_them(found: Findings) -> None:
    page = report_files(found)["index.html"].decode()
    table = page.split("<h2>Promotions, the newest first</h2>")[1]
    rows = re.findall("<tr>(.*?)</tr>", table)[1:]
    told = [re.findall("<td>(.*?)</td>", row) for row in rows]
    name = found.candidate.version.name
    worse = "it is worse &amp; worse"
    assert told == [
        ["rejected beside 2", "20260103-aaaaaaaaaaaa", AT, "the gate", worse],
        ["2", name, AT, "ann@&lt;there&gt;", "accepted"],
    ]


def test_the_first_version_has_nobody_beside_it(found: Findings) -> None:
    first = found._replace(champion=None, decisions=[], timeline=[])
    page = report_files(first)["index.html"].decode()
    assert "Promotions" not in page
    assert "<p>It was not asked.</p>" in page
    assert "changed>" not in page
    assert len(re.findall("data:image/png", page)) == 1


def test_the_same_findings_give_the_same_bytes(found: Findings) -> None:
    assert report_files(found) == report_files(found)


def test_a_card_has_front_matter_and_the_facts_of_the_manifest(found: Findings) -> None:
    said = card(found)
    version = found.candidate.version
    front, body = said.removeprefix("---\n").split("\n---\n", 1)
    keys = [line.partition(": ")[0] for line in front.splitlines()]
    assert keys == ["library_name", "pipeline_tag", "tags", "model_name"]
    for fact in (version.name, version.manifest["torch"], "latent 16", "| KL, nats | 6.25 |"):
        assert fact in said
    assert body.startswith("# ")
    assert "1200 (vae)" in body
    assert "{" not in body


def test_a_voice_is_the_same_every_night(toy_version: tuple[Path, Version]) -> None:
    registry, version = toy_version
    voice = probe_outputs(registry, version, PROBES[:2], ServeConfig())
    assert voice == probe_outputs(registry, version, PROBES[:2], ServeConfig())
    assert len(voice.reconstructions) == 2
    assert (len(voice.homotopy), voice.homotopy[0]) == (STEPS, voice.reconstructions[0])
    assert voice.homotopy[-1] == voice.reconstructions[1]


def test_a_night_leaves_a_report_beside_its_version(tmp_path: Path) -> None:
    """And the job alone says the same again."""
    folder = prepared(tmp_path / "night", NIGHT_CONFIG)
    line: dict[str, Any] = ran_job(folder, "nightly").line
    page = folder / line["report"]
    assert "Loss parts over the training" in page.read_text()
    assert "<b>first</b>" in page.read_text()
    promoted = f"<td>1</td><td>{line['version']}</td>"
    assert promoted in page.read_text().split("<h2>Promotions")[1]
    again = ran_job(folder, "report", "--run", line["run"]).line
    assert (again["outcome"], again["page"]) == ("reported", line["report"])
