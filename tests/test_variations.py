"""Figures of paraphrase variations: right by hand, and right for the controls."""

from typing import Any

import numpy as np
import pytest
import sacrebleu

from textvae.errors import DataError, InputError
from textvae.evaluation.variations import (
    CANDIDATES,
    HeldOutGroup,
    auc,
    corpus_bleu,
    held_out_groups,
    ibleu,
    measure_variations,
    retrieval_at_1,
    variation_figures,
    without_first_reference,
)
from textvae.text.sentence import Sentence

DEEDS = ["sleeps", "eats", "runs", "hides"]


def topics(count: int) -> list[HeldOutGroup]:
    """Groups of a noun and a place each, invented: one deed a sentence, and hardly a word that two
    groups share."""
    random = np.random.default_rng(count)
    groups = []
    for letters in random.integers(97, 123, (count, 12)):
        noun, place = ("".join(map(chr, half)) for half in (letters[:6], letters[6:]))
        references = tuple(f"The {noun} {deed} at a {place}." for deed in DEEDS)
        groups.append(HeldOutGroup(f"There is a {noun} in the {place} today.", references))
    return groups


def rotate(rows: list[Any]) -> list[Any]:
    return [*rows[1:], rows[0]]


def sentences(sizes: list[int]) -> list[Sentence]:
    """Groups of these sizes, whose members are interleaved."""
    rows = [
        Sentence(f"sentence {member} of group {group}", group=f"g{group}")
        for group, size in enumerate(sizes)
        for member in range(size)
    ]
    return sorted(rows, key=lambda row: row.text)


def test_the_source_is_the_third_member_and_the_references_are_the_others() -> None:
    groups = held_out_groups(sentences([5, 5]), seed=1)
    group = next(group for group in groups if "group 1" in group.source)
    assert group.source == "sentence 2 of group 1"
    assert sorted(group.references) == [f"sentence {member} of group 1" for member in (0, 1, 3, 4)]


def test_the_first_reference_is_any_member_in_a_corpus_with_an_order_within_groups() -> None:
    groups = held_out_groups(sentences([5] * 40))
    places = [group.references[0].split()[1] for group in groups]
    assert min(places.count(place) for place in "0134") >= 4


def test_of_a_group_of_two_the_source_is_the_first() -> None:
    groups = held_out_groups(sentences([2, 2]), members_min=2)
    assert {group.source for group in groups} == {"sentence 0 of group 0", "sentence 0 of group 1"}
    assert all(len(group.references) == 1 for group in groups)


def test_small_groups_and_sentences_without_a_group_are_left_out() -> None:
    rows = [*sentences([1, 5, 4, 6, 2]), *(Sentence(f"alone {number}") for number in range(9))]
    assert {group.source[-1] for group in held_out_groups(rows)} == {"1", "3"}
    assert {group.source[-1] for group in held_out_groups(rows, members_min=2)} == set("1234")


def test_the_same_seed_chooses_the_same_groups_and_another_seed_others() -> None:
    rows = sentences([5] * 40)
    chosen = held_out_groups(rows, groups_max=10, seed=3)
    assert len(chosen) == 10
    assert chosen == held_out_groups(rows, groups_max=10, seed=3)
    assert set(chosen) != set(held_out_groups(rows, groups_max=10, seed=4))
    assert held_out_groups(rows, groups_max=25, seed=3)[:10] == chosen
    assert len(held_out_groups(rows, groups_max=100)) == 40


def test_limits_under_two_and_text_without_groups_are_refused() -> None:
    with pytest.raises(InputError, match="members_min: must be 2 or more, got 1"):
        held_out_groups(sentences([5, 5]), members_min=1)
    with pytest.raises(InputError, match="groups_max"):
        held_out_groups(sentences([5, 5]), groups_max=1)
    with pytest.raises(DataError, match=r"2 groups of 5 or more sentences are needed, got 1;"):
        held_out_groups(sentences([5, 4]))


def test_a_copy_has_the_whole_self_bleu_and_no_novelty() -> None:
    groups = topics(30)
    figures = variation_figures([group.source for group in groups], groups)
    assert figures.self_bleu == pytest.approx(100)
    assert figures.copies == figures.distinct == figures.retrieval_at_1 == 1
    assert figures.ibleu == pytest.approx(0.8 * figures.bleu - 20)


def test_case_punctuation_digits_and_spaces_make_no_novelty_and_a_letter_does() -> None:
    source = "It's 3 o'clock: the T-shirt dries."
    groups = [HeldOutGroup(source, ("Three.",))] * 4
    outputs = ["ITS 4 O CLOCK THE TSHIRT DRIES", source, source.replace("dries", "dried"), ""]
    assert variation_figures(outputs, groups).copies == 0.5


def test_a_vowel_sign_is_as_much_a_letter_as_any() -> None:
    groups = [HeldOutGroup("\u0915\u0940", ("\u0915\u093e",))] * 2
    assert variation_figures(["\u0915\u093e", "\u0915\u0940!"], groups).copies == 0.5


def test_the_same_output_for_all_is_one_distinct_output() -> None:
    groups = topics(4)
    figures = variation_figures(["Yes it is."] * 4, groups)
    assert figures.distinct == 0.25
    assert figures.mean_words == 3
    assert figures.copies == 0


def test_a_rotated_output_is_retrieved_for_the_wrong_group() -> None:
    groups = topics(30)
    right = [group.references[1] for group in groups]
    assert variation_figures(right, groups).retrieval_at_1 == 1
    assert variation_figures(rotate(right), groups).retrieval_at_1 == 0


def test_retrieval_looks_within_blocks_and_leaves_a_smaller_last_one_out() -> None:
    groups = topics(2 * CANDIDATES + 50)
    references = [group.references for group in groups]
    outputs = [group.source for group in groups]
    # Each output of the second block is another one's of its block; of the rest all are wrong.
    middle = rotate(outputs[CANDIDATES : 2 * CANDIDATES])
    mixed = [*outputs[:CANDIDATES], *middle, *[outputs[0]] * 50]
    assert retrieval_at_1(outputs, references) == 1
    assert retrieval_at_1(mixed, references) == 0.5
    assert retrieval_at_1(rotate(outputs[-50:]), references[-50:]) == 0
    # A twin in another block does not count, and one in the same block is a tie, which is a miss.
    twin = [*references[:CANDIDATES], references[0], *references[CANDIDATES + 1 :]]
    assert retrieval_at_1([*outputs[:CANDIDATES], outputs[0], *outputs[101:]], twin) == 1
    assert retrieval_at_1(outputs[:4], [references[0], *references[:3]]) == 0


def test_an_empty_output_is_not_retrieved() -> None:
    groups = topics(3)
    figures = variation_figures([""] * 3, groups)
    assert figures.retrieval_at_1 == figures.bleu == figures.ibleu == figures.mean_words == 0


def test_missing_references_do_not_count() -> None:
    groups = topics(6)
    outputs = [group.references[3] for group in groups]
    uneven = [group.references[: 1 + index % 4] for index, group in enumerate(groups)]
    # A repeated reference changes neither the n-grams nor the nearest length.
    even = [(*group, *group[:1] * (4 - len(group))) for group in uneven]
    streams = list(zip(*even, strict=True))
    expected = sacrebleu.corpus_bleu(outputs, streams, force=True).score
    assert corpus_bleu(outputs, uneven) == pytest.approx(expected)
    assert corpus_bleu(outputs, [group.references for group in groups]) != pytest.approx(expected)


def test_bleu_is_cased_and_splits_punctuation() -> None:
    text = "A dog runs, and a cat sleeps."
    assert corpus_bleu([text.replace(",", " ,")], [(text,)]) == pytest.approx(100)
    assert corpus_bleu([text.lower()], [(text,)]) < 100


def test_ibleu_is_that_of_published_figures() -> None:
    # HRQ-VAE on Quora question pairs (Hosking, Tang and Lapata 2022): 33.11, 40.35 and 18.42.
    assert ibleu(33.11, 40.35) == pytest.approx(18.42, abs=0.005)
    assert ibleu(50, 20, alpha=1) == 50


def test_controls_stand_next_to_the_system() -> None:
    groups = topics(30)
    found = measure_variations(lambda sources: [source.upper() for source in sources], groups)
    assert found.system.copies == found.copy.copies == 1
    assert found.system.self_bleu < found.copy.self_bleu == pytest.approx(100)
    assert found.random.retrieval_at_1 == 0
    assert found.random.copies == 0
    assert found.human is not None
    assert found.human.retrieval_at_1 == 1


def test_a_human_is_not_scored_against_its_own_sentence() -> None:
    groups = topics(30)
    outputs = [group.references[0] for group in groups]
    found = measure_variations(lambda sources: outputs, groups)
    assert found.system.bleu == pytest.approx(100)
    assert found.human == variation_figures(outputs, without_first_reference(groups))
    assert found.human.bleu < 80
    assert found.system_beside_human == found.human


def test_groups_of_one_reference_have_no_human_control_and_do_not_spoil_others() -> None:
    pairs = [HeldOutGroup(group.source, group.references[:1]) for group in topics(8)]
    assert measure_variations(list, pairs)[3:] == (None, None)
    rest = topics(16)[8:]
    assert measure_variations(list, [*pairs, *rest])[3:] == measure_variations(list, rest)[3:]


def test_ties_count_half() -> None:
    assert auc([1.0], [1.0]) == 0.5
    assert auc([2.0, 3.0], [1.0]) == 1
    assert auc([1.0], [2.0, 3.0, 4.0]) == 0
    assert auc([1.0, 2.0], [1.0, 0.0]) == 0.875


def test_auc_is_the_share_of_pairs_won() -> None:
    random = np.random.default_rng(0)
    positive, negative = random.integers(0, 6, 40), random.integers(0, 5, 25)
    won = np.sign(positive[:, None] - negative[None, :]).mean() / 2 + 0.5
    assert auc(positive.tolist(), negative.tolist()) == pytest.approx(won)
