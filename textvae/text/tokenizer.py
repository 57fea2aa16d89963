"""Sentences to token ids and back, without losing a character.

SentencePiece with byte fallback and no normalising of its own: decode(encode(s)) == s for every
Unicode sentence, also one that spells "<s>" or holds a character never seen in training. The
trained model is bytes; the store decides where they are kept.
"""

import io
import logging
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import sentencepiece

from textvae.config.data import TokenizerConfig
from textvae.errors import DataError, InputError

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = 4
# The first tokens of the decoder. No sentence begins with padding and none is asked for it, so the
# embedding of this id is free to mean "rephrase", in every vocabulary.
REBUILD, REPHRASE = BOS, PAD
BYTES = 256

# SentencePiece writes a space as this character, so a real one is encoded as bytes.
SPACE_MARK = "\u2581"
# Its trainer silently skips sentences with these (the second marks what it does not know).
UNTRAINABLE = str.maketrans({SPACE_MARK: " ", "\u2585": " "})

# The smallest limit that SentencePiece's trainer takes.
SENTENCE_BYTES_MIN = 10
# Sentences of a call from which on threads pay, which SentencePiece starts anew each time.
PARALLEL_FROM = 1000

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


def train_tokenizer(sentences: Iterable[str], config: TokenizerConfig) -> bytes:
    """Train a tokenizer; return its bytes, which are the same for the same sentences.

    Too few sentences for the vocabulary make it smaller, and the log says so. Raises DataError
    for text that gives no vocabulary, InputError for a vocabulary that is too small.
    """
    texts = [text.translate(UNTRAINABLE) for text in sentences]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise DataError("tokenizer: no text to learn from; at least one sentence is needed")
    buffer = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=buffer,
            model_type=config.kind,
            vocab_size=config.vocab,
            hard_vocab_limit=False,
            byte_fallback=True,
            # A space that no sentence has would become the bytes of its mark, and stay a mark.
            required_chars=SPACE_MARK,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            max_sentence_length=max(4 * max(map(len, texts)), SENTENCE_BYTES_MIN),
            pad_id=PAD,
            bos_id=BOS,
            eos_id=EOS,
            unk_id=UNK,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _error_of(texts, config, error) from None
    model = buffer.getvalue()
    vocab = Tokenizer(model).vocab
    if vocab < config.vocab:
        logger.warning(
            "vocabulary: %d tokens wished, %d made; %d sentences hold no more",
            config.vocab,
            vocab,
            len(texts),
        )
    return model


def draw_sentences(sentences: Sequence[Item], count_max: int, seed: int) -> Sequence[Item]:
    """Return all sentences, or `count_max` of them without repeats, in their own order."""
    if len(sentences) <= count_max:
        return sentences
    rows = np.random.default_rng(seed).choice(len(sentences), count_max, replace=False)
    return [sentences[row] for row in np.sort(rows)]


def _error_of(texts: list[str], config: TokenizerConfig, error: RuntimeError) -> Exception:
    """Return InputError for too small a vocabulary, DataError for any other error."""
    characters = len(set().union(*texts) | {" "})
    if config.vocab >= SPECIALS + BYTES + characters:
        return DataError(
            f"tokenizer: SentencePiece finds nothing to learn from in {len(texts)} sentences "
            f'({error}); give more text, or set tokenizer.kind to "bpe"'
        )
    return InputError(
        "tokenizer.vocab",
        f"must hold {SPECIALS} special tokens, {BYTES} bytes and the corpus' characters "
        f"(at most {characters}), got {config.vocab}; "
        f"set it to {SPECIALS + BYTES + characters} or more",
    )


class Tokenizer:
    """A trained tokenizer: sentences to ids and back, many at a time."""

    forbidden: tuple[int, ...] = (PAD, BOS, UNK)
    """Ids that a decoder must never emit; EOS it must, to end."""

    def __init__(self, model: bytes) -> None:
        """Load the bytes of `train_tokenizer`, which the caller has verified."""
        self._pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab: int = self._pieces.vocab_size()
        """Number of ids, special ones included."""
        self._mark_bytes = [
            self._pieces.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE_MARK.encode()
        ]

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return the ids of each sentence, without BOS and EOS; never PAD, BOS, EOS or UNK.

        Raises InputError naming the sentence where one holds a lone surrogate, which is no text.
        """
        _check_unicode(sentences)
        if any(SPACE_MARK in sentence for sentence in sentences):
            return [self._encode_marked(sentence) for sentence in sentences]
        if len(sentences) == 1:
            return [self._pieces.encode(sentences[0])]
        threads = _threads_for(len(sentences))
        ids: list[list[int]] = self._pieces.encode(list(sentences), num_threads=threads)
        return ids

    def decode(self, sentences: Iterable[Iterable[int]]) -> list[str]:
        """Return the text of each list of ids; special ids are dropped, broken UTF-8 is U+FFFD."""
        ordinary = [[int(token) for token in ids if token >= SPECIALS] for ids in sentences]
        # SentencePiece reads an empty list as one empty sentence.
        if not ordinary:
            return []
        threads = _threads_for(len(ordinary))
        texts: list[str] = self._pieces.decode(ordinary, num_threads=threads)
        return texts

    def spell(self, ids: Sequence[int]) -> str:
        """Return the text of one list of ids, as `decode` of many does, without its threads."""
        text: str = self._pieces.decode([int(token) for token in ids if token >= SPECIALS])
        return text

    def pieces(self) -> list[str]:
        """Return what each id spells by itself: nothing for special ids, and for bytes that spell
        no character of their own."""
        texts = self.decode([[token] for token in range(SPECIALS, self.vocab)])
        bytes_alone = self.are_bytes()[SPECIALS:]
        return [""] * SPECIALS + [
            "" if is_byte and text == "\ufffd" else text
            for text, is_byte in zip(texts, bytes_alone, strict=True)
        ]

    def are_bytes(self) -> list[bool]:
        """Return of each id whether it is a byte, of a character outside the vocabulary."""
        masks: list[bool] = self._pieces.is_byte(list(range(self.vocab)))
        return masks

    def byte_counts(self, sentences: Iterable[Sequence[int]]) -> list[int]:
        """Return how many ids of each sentence are bytes, of characters outside the vocabulary."""
        return [sum(self._pieces.is_byte(list(ids))) for ids in sentences]

    def _encode_marked(self, sentence: str) -> list[int]:
        """Return the ids of a sentence with SPACE_MARK in it: each mark as its three bytes."""
        first, *rest = self._pieces.encode(sentence.split(SPACE_MARK))
        ids: list[int] = list(first)
        for part in rest:
            ids += [*self._mark_bytes, *part]
        return ids


def _threads_for(sentences: int) -> int:
    """Return how many threads SentencePiece is to start: -1 for one a core, where they pay."""
    return -1 if sentences >= PARALLEL_FROM else 1


def _check_unicode(sentences: Sequence[str]) -> None:
    """Raise InputError for the first sentence that has no UTF-8 form."""
    for number, sentence in enumerate(sentences):
        try:
            sentence.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"sentences[{number}]",
                f"character {error.start} is a lone surrogate; sentences are Unicode text",
            ) from None
