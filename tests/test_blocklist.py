"""A blocklist holds its entries back in every script, and nothing else."""

from pathlib import Path

import pytest

from textvae.corpus.blocklist import Blocklist
from textvae.text.sentence import normalise

CASES = [
    # A script without spaces, a mark that begins another word, a sign, an emoji.
    ("\u9000\u8d27", "\u6211\u8981\u9000\u8d27\u4e86", True),
    ("\u0915\u0940", "\u0930\u093e\u092e \u0915\u093e \u0918\u0930", False),
    ("c++", "c is a language", False),
    ("\U0001f621", "so \U0001f621 now", True),
    # Chinese and Japanese: anywhere, but not across what ends a clause.
    ("\u9000\u8d27", "\u9000\u8d27", True),
    ("\u9000\u8d27", "\u4e0d\u9000\u3002\u8d27\u5230\u4e86", False),
    ("\u9000\u8d27", "\u9000 \u8d27", False),
    ("\u9000\u8d27", "\u8d27\u9000", False),
    (
        "\u30ad\u30e3\u30f3\u30bb\u30eb",
        "\u4e88\u7d04\u3092\u30ad\u30e3\u30f3\u30bb\u30eb\u3057\u305f\u3044",
        True,
    ),
    ("iphone", "\u6211\u7684iPhone\u5f88\u597d", True),
    ("phone", "\u6211\u7684iPhone\u5f88\u597d", False),
    ("iphone\u58f3", "\u4e70iPhone\u58f3\u5417", True),
    # Korean particles are attached.
    ("\ud658\ubd88", "\ud658\ubd88\uc744 \uc6d0\ud574\uc694", True),
    ("\ud658\ubd88", "\ubd88\ud658", False),
    # Thai, Lao, Khmer, Burmese: whole characters with their marks.
    (
        "\u0e2b\u0e21\u0e32",
        "\u0e09\u0e31\u0e19\u0e23\u0e31\u0e01\u0e2b\u0e21\u0e32\u0e21\u0e32\u0e01",
        True,
    ),
    ("\u0e2b\u0e21", "\u0e2b\u0e21\u0e35", False),
    ("\u0e9a\u0ecd\u0ec8", "\u0e82\u0ec9\u0ead\u0e8d\u0e9a\u0ecd\u0ec8\u0eae\u0eb9\u0ec9", True),
    (
        "\u1019\u101f\u102f\u1010\u103a",
        "\u1012\u102b\u1019\u101f\u102f\u1010\u103a\u1018\u1030\u1038",
        True,
    ),
    # Hindi, Bengali, Tamil, Arabic, Hebrew: words, with their marks.
    ("\u0915\u0940", "\u0930\u093e\u092e \u0915\u0940 \u0915\u093f\u0924\u093e\u092c", True),
    ("\u0915", "\u0915\u0940", False),
    ("\u0930\u093e\u092e \u0915\u0940", "\u0930\u093e\u092e, \u0915\u0940", True),
    ("\u0995\u09bf", "\u0995\u09be", False),
    ("\u0ba8\u0bbf", "\u0ba8\u0bc0", False),
    ("\u0643\u062a\u0627\u0628", "\u0627\u0644\u0643\u062a\u0627\u0628", False),
    (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0628\u0631\u0648\u0645",
        True,
    ),
    # Symbols and emoji.
    ("c++", "I write C++17 code", True),
    ("c++", "abc++", False),
    ("c#", "C# is a language", True),
    ("c#", "c is a language", False),
    (".net", "use .NET Core", True),
    (".net", "the net", False),
    ("100%", "100 things", False),
    ("100%", "100% sure", True),
    ("$", "it costs $5", True),
    ("$", "it costs 5", False),
    ("a*", "A* search", True),
    ("a*", "a search", False),
    ("at&t", "call AT&T now", True),
    ("\U0001f621", "so\U0001f621\U0001f621now", True),
    ("\U0001f621", "so \U0001f600 now", False),
    ("\u2764\ufe0f", "I \u2764 it", True),
    ("\U0001f44d", "ok \U0001f44d\U0001f3fd", True),
    ("\U0001f469\u200d\U0001f680", "a \U0001f469\u200d\U0001f680 flies", True),
    ("\U0001f469\u200d\U0001f680", "a \U0001f469 flies", False),
    ("\U0001f1e9\U0001f1ea", "in \U0001f1e9\U0001f1ea", True),
    ("!!!", "now!!!", True),
    ("!!!", "now!", False),
    # Words as before.
    ("darn", "Oh DARN, no.", True),
    ("darn", "A darned sock", False),
    ("so be it", "So, be it!", True),
    ("so be it", "So it be.", False),
    ("credit card", "my credit-card", True),
    ("credit-card", "my credit card", True),
    ("don't", "Don\u2019t go", True),
    ("Buy now!", "please buy now.", True),
    ('"spam"', "spam here", True),
    ("stra\u00dfe", "die STRASSE", True),
    ("caf\u00e9", "un cafe\u0301", True),
    ("caf\u00e9", "un cafe", False),
    ("so\u00ad be", "so be", True),
]


@pytest.mark.parametrize(("entry", "text", "blocked"), CASES, ids=range(len(CASES)))
def test_an_entry_is_found_by_the_rule_of_its_script(
    entry: str, text: str, blocked: bool, tmp_path: Path
) -> None:
    path = tmp_path / "blocked.txt"
    path.write_text(f"other\n{entry}\n")
    assert Blocklist((path,)).blocks(normalise(text)) == blocked
