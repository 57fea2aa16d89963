"""Pictures by settings of their own: neither a user's style nor the environment's takes part.

A picture is a decoration: one that cannot be drawn is a sentence in the result of the work.
"""

import functools
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from textvae.errors import TextVaeError

FONT = "DejaVu Sans"
"""The font that matplotlib brings along."""
LABEL_CHARACTERS_MAX = 40
# It has a box for each character and no character.
NO_FONTS = ("Last Resort",)

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")


def picture(draw: Callable[Arguments, None]) -> Callable[Arguments, str]:
    """Make a function that draws under our own settings, and returns why it could not, or nothing.

    OSError, of the file that it reads or writes, is raised.
    """

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> str:
        try:
            with _own_settings():
                draw(*args, **kwargs)
        except OSError:
            raise
        except Exception as error:
            is_expected = isinstance(error, TextVaeError | ImportError)
            problem = f"could not be drawn: {str(error) or type(error).__name__}"
            logger.error("%s %s", draw.__name__, problem, exc_info=None if is_expected else error)
            return problem
        return ""

    return drawn


@contextmanager
def _own_settings() -> Iterator[None]:
    """Draw by matplotlib's own defaults: without TeX, and a dollar is a dollar."""
    with _no_backend():
        try:
            import matplotlib
        except OSError as error:
            raise ImportError(f"matplotlib cannot be loaded: {error}") from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"text.parse_math": False, "font.family": [FONT]})
        yield


@contextmanager
def _no_backend() -> Iterator[None]:
    """Hide MPLBACKEND, which Jupyter sets for its children too: its backend is not theirs."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def drawable(texts: Iterable[str]) -> list[str]:
    """Return texts as they can be drawn, and choose the installed fonts that have their characters.

    What no font has is written as its escape. To be called within a picture.
    """
    import matplotlib

    shown = [_visible(text) for text in texts]
    missing = set().union(*shown) - _characters(FONT)
    families = []
    for family in _other_families() if missing else ():
        if found := missing & _characters(family):
            families.append(family)
            missing -= found
        if not missing:
            break
    matplotlib.rcParams["font.family"] = [FONT, *families]
    if missing:
        count = len(missing)
        logger.warning("no installed font has %d characters of the labels of a picture", count)
    escapes = str.maketrans({one: one.encode("unicode_escape").decode() for one in missing})
    return [text.translate(escapes) for text in shown]


def _visible(text: str) -> str:
    """Return the text without joiners and selectors, which have no shape, and not too long."""
    kept = "".join(
        one
        for one in text
        if unicodedata.category(one) != "Cf"
        and "VARIATION SELECTOR" not in unicodedata.name(one, "")
    )
    more = "..." if len(kept) > LABEL_CHARACTERS_MAX else ""
    return kept[:LABEL_CHARACTERS_MAX] + more


def _other_families() -> list[str]:
    """Return the names of the installed upright fonts of normal weight."""
    from matplotlib.font_manager import fontManager

    return sorted(
        {
            entry.name
            for entry in fontManager.ttflist
            if entry.style == "normal"
            and entry.weight in (400, "normal", "regular", "book")
            and not entry.name.startswith(NO_FONTS)
        }
    )


def _characters(family: str) -> set[str]:
    """Return the characters that a font has."""
    from matplotlib.font_manager import findfont, get_font

    return set(map(chr, get_font(findfont(family)).get_charmap()))
