"""The report of a version: self-contained, and with its changes marked."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

from jobs import nightly, report
from tests.job_runs import NIGHTLY_CONFIG, prepared, ran_job
from tests.toys import AT
from textvae.config.serve import ServeConfig
from textvae.reporting.history import HistoryEntry
from textvae.reporting.page import Findings, Side, card, report_files
from textvae.reporting.pictures import Pictures, draw_pictures
from textvae.reporting.probes import STEPS, VARIATIONS, probe_outputs
from textvae.store.versions import Version

FIGURES = {
    "sentences": 5,
    "elbo_nats": -20.5,
    "kl_nats": 6.25,
    "reconstruction_exact": None,
    "kl_nats_by_dimension": [1.0, 3.0, 2.25],
}
NO_PICTURES = Pictures([], [])
PROBES = ("the dog runs", "a <b>bold</b> cat sleeps", "we see a bird")


@pytest.fixture
def found(toy_version: tuple[Path, Version]) -> Findings:
    """The toy version against itself, with one other reconstruction."""
    registry, version = toy_version
    outputs = probe_outputs(registry, version, PROBES, ServeConfig())
    old = outputs._replace(reconstructions=["the dog sings", *outputs.reconstructions[1:]])
    return Findings(
        Side(version, FIGURES, [-20.0, -21.0, -20.5], outputs),
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


def drawn(found: Findings) -> Pictures:
    assert found.champion
    pair = found.candidate.elbo_nats, found.champion.elbo_nats
    return draw_pictures(found.metrics, found.candidate.figures["kl_nats_by_dimension"], pair)


def test_a_page_is_self_contained(found: Findings) -> None:
    """No script, no address, and its plots inline."""
    page = report_files(found, drawn(found))["index.html"].decode()
    assert not re.findall("https?:|<script|<link", page)
    sources = re.findall('src="([^"]*)', page)
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_a_page_has_decision_verdict_and_figures_of_both_sides(
    found: Findings,
) -> None:
    page = report_files(found, NO_PICTURES)["index.html"].decode()
    for text in (
        *("<b>rejected</b>", "it is worse &amp; worse", "0.125", "The doctor: healthy"),
        *("the decoder listens", "lines read 5"),
        "<td>KL, nats</td><td>6.25</td><td>7.5</td>",
        "<td>reconstruction exact</td><td>-</td><td>-</td>",
    ):
        assert text in page


def test_a_page_has_the_drift_of_the_newest_text_next_to_its_other_figures(found: Findings) -> None:
    test = {"before": {"mean": 1.5}, "now": {"mean": 2.25}, "ks": 0.5, "p": 0.0, "drifted": True}
    calm = {**test, "drifted": False}
    drift = {"said": "", "nats_per_token": test, "byte_share": calm}
    decision = {"decision": "accepted", "against": "20260101-0", "at": "today", "drift": drift}
    page = report_files(found._replace(decisions=[decision]), NO_PICTURES)["index.html"].decode()
    section = page.partition("<h2>The text</h2>")[2]
    assert "<h3>The newest text under 20260101-0, today</h3>" in section
    assert "stranger to it: mean 2.25 against 1.50 nats a token, KS 0.50, p &lt; 0.001" in section
    assert "nats_per_token" not in page


def test_probe_outputs_that_changed_are_marked(found: Findings) -> None:
    page = report_files(found, NO_PICTURES)["index.html"].decode()
    marked = re.findall("<tr class=changed>(.*?)</tr>", page)
    assert len(marked) == 1
    assert "<h2>Probe outputs</h2>" in page
    assert "the dog sings" in marked[0]
    assert found.candidate.probe_outputs.reconstructions[0] in marked[0]


def test_variations_of_the_probes_stand_beside_those_of_the_champion(found: Findings) -> None:
    """Each under the way in which its version makes them; a row without one has a dash."""
    new = found.candidate.probe_outputs
    assert (new.method, len(new.variations)) == ("draw", len(PROBES))
    assert [len(texts) for texts in new.variations] == [VARIATIONS] * len(PROBES)
    assert found.champion
    old = new._replace(method="rephrase", variations=[["one <dog> runs"], *new.variations[1:]])
    champion = found.champion._replace(probe_outputs=old)
    page = report_files(found._replace(champion=champion), NO_PICTURES)["index.html"].decode()
    table = page.split("<h3>Variations</h3>")[1].split("</table>")[0]
    assert "<th>candidate: draw</th><th>champion: rephrase</th>" in table
    rows = re.findall("<tr([^>]*)>(.*?)</tr>", table)[1:]
    cells = [re.findall("<td>(.*?)</td>", row) for _, row in rows]
    assert len(cells) == VARIATIONS * len(PROBES)
    assert cells[0] == [PROBES[0], html.escape(new.variations[0][0]), "one &lt;dog&gt; runs"]
    assert cells[1] == ["", html.escape(new.variations[0][1]), "-"]
    assert [kind for kind, _ in rows].count(" class=changed") == 2
    alone = report_files(found._replace(champion=None), NO_PICTURES)["index.html"].decode()
    assert "<th>candidate: draw</th></tr>" in alone


def test_a_page_has_the_figures_of_variations_where_there_are_some(found: Findings) -> None:
    figures = {**FIGURES, "siblings": 1296, "variation_adequacy": 0.4567}
    candidate = found.candidate._replace(figures=figures)
    page = report_files(found._replace(candidate=candidate), NO_PICTURES)["index.html"].decode()
    assert "<td>adequacy of variations, nats a token</td><td>0.4567</td><td>-</td>" in page
    assert "iBLEU" not in page


def test_text_is_escaped(found: Findings) -> None:
    page = report_files(found, NO_PICTURES)["index.html"].decode()
    assert "a &lt;b&gt;bold&lt;/b&gt; cat sleeps" in page
    assert "<b>bold" not in page


def test_a_page_has_the_promotions_and_the_rejections_between_them(found: Findings) -> None:
    page = report_files(found, NO_PICTURES)["index.html"].decode()
    table = page.split("<h2>Promotions, newest first</h2>")[1]
    rows = re.findall("<tr>(.*?)</tr>", table)[1:]
    cells = [re.findall("<td>(.*?)</td>", row) for row in rows]
    name = found.candidate.version.name
    worse = "it is worse &amp; worse"
    assert cells == [
        ["rejected against 2", "20260103-aaaaaaaaaaaa", AT, "the gate", worse],
        ["2", name, AT, "ann@&lt;there&gt;", "accepted"],
    ]


def test_the_first_version_is_compared_with_none(found: Findings) -> None:
    first = found._replace(champion=None, decisions=[], history=[])
    pictures = draw_pictures(None, FIGURES["kl_nats_by_dimension"], None)  # type: ignore[arg-type]
    page = report_files(first, pictures)["index.html"].decode()
    assert "Promotions" not in page
    assert "<p>No decision.</p>" in page
    assert "changed>" not in page
    assert len(re.findall("data:image/png", page)) == 1


def test_the_same_findings_give_the_same_bytes(found: Findings) -> None:
    pair = [report_files(found, drawn(found)) for _ in range(2)]
    assert pair[0] == pair[1]


def test_a_card_has_front_matter_and_the_facts_of_the_manifest(found: Findings) -> None:
    text = card(found)
    version = found.candidate.version
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    keys = [line.partition(": ")[0] for line in front.splitlines()]
    assert keys == ["library_name", "pipeline_tag", "tags", "model_name"]
    for fact in (version.name, version.manifest["torch"], "latent 16", "| KL, nats | 6.25 |"):
        assert fact in text
    assert body.startswith("# ")
    assert "1200 (vae)" in body
    assert "{" not in body


def test_probe_outputs_are_the_same_at_every_run(toy_version: tuple[Path, Version]) -> None:
    registry, version = toy_version
    outputs = probe_outputs(registry, version, PROBES[:2], ServeConfig())
    assert outputs == probe_outputs(registry, version, PROBES[:2], ServeConfig())
    assert len(outputs.reconstructions) == 2
    assert (len(outputs.homotopy), outputs.homotopy[0]) == (STEPS, outputs.reconstructions[0])
    assert outputs.homotopy[-1] == outputs.reconstructions[1]


def test_a_nightly_run_attaches_a_report_to_its_version(tmp_path: Path) -> None:
    """And the job alone writes the same one again."""
    folder = prepared(tmp_path / "nightly", NIGHTLY_CONFIG)
    line: dict[str, Any] = ran_job(folder, "nightly").line
    page = folder / line["report"]
    assert "Loss parts over the training" in page.read_text()
    assert re.search(
        r"<h3>in tokens</h3><ul><li>\S+ tokens a sentence, .* cut at 128", page.read_text()
    )
    assert "<b>first</b>" in page.read_text()
    promoted = f"<td>1</td><td>{line['version']}</td>"
    assert promoted in page.read_text().split("<h2>Promotions")[1]
    again = ran_job(folder, "report", "--run", line["run"]).line
    assert (again["outcome"], again["page"]) == ("reported", line["report"])


def test_a_picture_that_fails_is_a_line_in_page_and_result(found: Findings) -> None:
    pictures = draw_pictures(None, [[1.0], [2.0, 3.0]], ([-20.0, -21.0], [-20.5, -20.0]))  # type: ignore[list-item]
    assert [title for title, _ in pictures.images] == ["Paired differences"]
    assert len(pictures.problems) == 1
    assert pictures.problems[0].startswith("KL of each dimension could not be drawn: ")
    page = report_files(found, pictures)["index.html"].decode()
    assert "KL of each dimension could not be drawn" in page


def test_a_report_that_fails_is_a_problem_in_the_result_of_the_nightly_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(error: Exception) -> dict[str, Any]:
        def main(_: report.Report) -> Any:
            raise error

        monkeypatch.setattr(report, "main", main)
        return nightly._report(nightly.Nightly(), {"version": "v", "run": "r"})

    assert fail(KeyError("kl")) == {"problems": ["the report failed: 'kl'"]}
    assert fail(ValueError()) == {"problems": ["the report failed: ValueError"]}
    with pytest.raises(OSError, match="full"):
        fail(OSError("full"))
