"""Groups in the data report: who has siblings to be rephrased from, and which are of no use."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

from textvae.corpus.split import SIDES, Side
from textvae.text.sentence import Sentence

SHARE_MAX = 0.5
"""Of all sentences in one group, above which its members hardly say the same."""
NAME_CHARACTERS_MAX = 60


def group_figures(kept: Mapping[Side, Sequence[Sentence]]) -> dict[str, Any]:
    """Return how the kept sentences are grouped; a sibling is another member on the same side."""
    by_side = {side: _sizes(kept[side]) for side in SIDES}
    sizes: Counter[str] = sum(by_side.values(), Counter())
    grouped = sizes.total()
    name, largest = max(sizes.items(), key=lambda item: item[1], default=("", 0))
    return {
        "groups": len(sizes),
        "grouped": grouped,
        "siblings": {
            side: sum(size for size in by_side[side].values() if size > 1) for side in SIDES
        },
        "of_one": sum(size == 1 for size in sizes.values()),
        "labels": grouped > 0
        and all(row.group in ("", row.label) for side in SIDES for row in kept[side]),
        "largest": {
            "group": name[:NAME_CHARACTERS_MAX],
            "sentences": largest,
            "share": round(largest / max(sum(map(len, kept.values())), 1), 4),
        },
    }


def groups_of_repeats(kept: Mapping[Side, Sequence[Sentence]], repeated: Set[str]) -> int:
    """Return how many of the groups that lost sentences as repeats have a single one left."""
    sizes = sum((_sizes(kept[side]) for side in SIDES), Counter[str]())
    return sum(sizes[group] == 1 for group in repeated)


def group_lines(report: Mapping[str, Any]) -> list[str]:
    """Return what a data report says of groups, as lines of text; none where there are none."""
    figures = report.get("groups", {})
    if not figures.get("groups"):
        return []
    largest, siblings = figures["largest"], figures["siblings"]
    kind = ", which are labels" if figures["labels"] else ""
    sides = ", ".join(f"{side} {siblings[side]:,}" for side in SIDES)
    return [
        f"groups         {figures['groups']:>9,}   {figures['of_one']:,} of one sentence, largest "
        f"{largest['sentences']:,} ({largest['share']:.1%}): {largest['group']}{kind}",
        f"with a sibling {sum(siblings.values()):>9,}   {sides}",
        *(f"groups           warning   {problem}" for problem in group_warnings(report)),
    ]


def group_warnings(report: Mapping[str, Any]) -> list[str]:
    """Return in words where groups are useless to learn to rephrase from, or harmful."""
    figures, warnings = report.get("groups", {}), []
    if not figures.get("groups"):
        return []
    if not figures["siblings"]["train"] and not report.get("groups_known"):
        warnings.append(
            "no training sentence has a sibling, so training.sibling_share has nothing to learn "
            "from; a group needs two different sentences or more"
        )
    if repeats := report.get("groups_of_repeats"):
        warnings.append(
            f"{repeats:,} of the groups of one had more sentences, all of them repeats, which are "
            "dropped"
        )
    largest = figures["largest"]
    if largest["share"] > SHARE_MAX and largest["sentences"] > 1:
        warnings.append(
            f"the largest group holds {largest['share']:.0%} of the sentences, which hardly all "
            "say the same: what is learned from it says little of its source; give smaller groups"
        )
    return warnings


def _sizes(sentences: Sequence[Sentence]) -> Counter[str]:
    """Return the size of each group."""
    return Counter(row.group for row in sentences if row.group)
