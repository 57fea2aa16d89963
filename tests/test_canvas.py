"""Pictures are drawn by their own settings, whatever the environment and the labels hold."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from textvae.reporting import plots
from textvae.reporting.canvas import FONT, LABEL_CHARACTERS_MAX, drawable, picture

PNG = b"\x89PNG\r\n"
DRAW = """
import numpy, sys
from pathlib import Path
from textvae.reporting.plots import draw_kl, draw_map
problems = [
    draw_kl([1.0, 2.0], Path("kl.png")),
    draw_map(numpy.eye(4), ["a", "b_c", "$x", "%"], Path("map.png")),
]
sys.exit("; ".join(filter(None, problems)) or 0)
"""


@pytest.mark.parametrize(
    ("backend", "settings"),
    [
        ("module://matplotlib_inline.backend_inline", ""),
        ("inline", ""),
        ("QtAgg", ""),
        ("no such backend", ""),
        ("", "text.usetex: True"),
        ("", "backend: TkAgg"),
        ("", "font.family: Comic Neue\nfigure.figsize: 300, 300\nsavefig.dpi: 600"),
        ("", "text.usetex: perhaps\nno.such.setting: 3"),
    ],
)
def test_backend_and_style_of_the_environment_take_no_part(
    backend: str, settings: str, tmp_path: Path
) -> None:
    (tmp_path / "matplotlibrc").write_text(settings)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("MPLBACKEND", None)
    if backend:
        environment["MPLBACKEND"] = backend
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in ("kl.png", "map.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
        assert (tmp_path / name).stat().st_size < 1 << 20


def test_a_user_s_own_settings_are_as_they_were_after_a_picture(tmp_path: Path) -> None:
    with matplotlib.rc_context({"text.usetex": True, "font.size": 33}):
        assert plots.draw_kl([1.0, 2.0], tmp_path / "kl.png") == ""
        assert (matplotlib.rcParams["text.usetex"], matplotlib.rcParams["font.size"]) == (True, 33)


@pytest.mark.parametrize(
    "label",
    ["$", "$\\frac{1}{", "a_b^c", "\\undefined", "_private", "100 %", "<b>&amp;", "", "{}", "#",
     "\u9000\u8d27", "\u0915\u0940", "\U0001f600\ufe0f", "a\u200db", "long " * 50],
)  # fmt: skip
def test_any_label_is_drawn_as_text(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, figures = plots._save, list[Figure]()

    def record(figure: Figure, target: Path) -> None:
        figures.append(figure)
        save(figure, target)

    monkeypatch.setattr(plots, "_save", record)
    path = tmp_path / "map.png"
    means = np.random.default_rng(0).normal(size=(8, 3))
    assert plots.draw_map(means, [label, "other"] * 4, path) == ""
    assert path.read_bytes().startswith(PNG)
    legend = figures[0].axes[0].get_legend()
    assert legend
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == 2
    if label.isascii() and len(label) <= LABEL_CHARACTERS_MAX:
        assert set(names) == {label or "no label", "other"}


def test_characters_come_from_an_installed_font_that_has_them_and_else_as_their_escape() -> None:
    def characters(family: str) -> set[str]:
        return set(map(chr, get_font(findfont(family)).get_charmap()))

    only = sorted(characters("STIXGeneral") - characters(FONT))
    with matplotlib.rc_context():
        assert drawable([only[0], "plain"]) == [only[0], "plain"]
        families = matplotlib.rcParams["font.family"]
        assert families[0] == FONT
        assert only[0] in characters(families[1])
    with matplotlib.rc_context():
        assert drawable(["\U000f1234 a"]) == ["\\U000f1234 a"]


@pytest.mark.parametrize("shape", [(1, 5), (2, 1), (5, 1), (1, 1), (2, 2), (3, 64)])
def test_a_map_of_few_sentences_or_dimensions_is_drawn(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    means = np.random.default_rng(0).normal(size=shape)
    assert plots.draw_map(means, ["a"] * len(means), tmp_path / "map.png") == ""


def test_what_fails_is_a_sentence_and_a_refusing_disk_is_an_error(tmp_path: Path) -> None:
    assert plots.draw_kl(["x", 3.0], tmp_path / "kl.png").startswith("could not be drawn: ")  # type: ignore[list-item]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File exists"):
        plots.draw_kl([1.0], tmp_path / "file" / "kl.png")

    @picture
    def fail() -> None:
        raise ValueError

    assert fail() == "could not be drawn: ValueError"
