"""The generation of a row under a constraint: each token is chosen under masks.

A lock begins where the decoder itself would begin it; where the sentence would end without it, the
row returns to the place where the decoder came nearest to beginning it, and goes on from the lock.
After a bounded number of returns the locks that are still missing end the sentence. So one slot
does what the banks of a beam do in dynamic beam allocation (Post & Vilar 2018), for rows that are
drawn as well.
"""

from collections.abc import Callable

import numpy as np

from textvae.decode.constraint import Constraint, Lock

RETURNS_MAX = 2
"""Times that a row goes back to begin a lock."""
START_NATS = 0.7
"""A lock begins where its first token is at most so much less likely than the likeliest one."""
NEIGHBOUR_NATS = 4.0
"""What a place gains where the word before it stands before the lock in the source as well; what
the begin of the sentence loses where the source does not begin with the lock, and a place after
punctuation that ends a sentence."""
END_NATS = 1.0
"""What the end of the sentence gains as a place."""
FAR_NATS = -12.0
"""The least worth of a place; of places that are worth as much the last is the best."""


Pick = Callable[[np.ndarray], int]
"""(vocab,) logits -> the row's token."""


class ConstrainedRow:
    """The state of a row that is generated under a constraint."""

    def __init__(self, constraint: Constraint, tokens_max: int) -> None:
        self.constraint = constraint
        self.tokens_max = tokens_max
        self._tokens: list[int] = []
        self._text = ""
        self._forced: list[int] = []
        """The next tokens, of a lock or of a part that is repeated."""
        self._met: dict[int, int] = {}
        """Of each lock that stands in the sentence: the tokens up to its last one."""
        self._after_lock = False
        """Whether the last token ends a lock."""
        self._edge = False
        """Whether it is one that no word may continue."""
        self._locked_until = 0
        """Characters up to the end of the last lock."""
        self._best: dict[int, tuple[float, int]] = {}
        """Of each lock that is missing: the worth of its best place, and tokens before it."""
        self._best_end: tuple[float, int, int] | None = None
        """The worth of the best place to end, tokens before it, and the token that ends there."""
        self._returns = 0
        self.place = 0
        """Tokens that are left of a row that goes back."""

    def choose(self, logits: np.ndarray, free: int, pick: Pick) -> int | None:
        """(vocab,) logits -> the next token under the constraint; None where the row goes back.

        It then goes on from `place`. `free` is the row's own choice, `pick` makes it of other
        logits; these logits are not changed.
        """
        if self._forced:
            return self._append(self._forced.pop(0))
        missing = self._missing
        if missing:
            begun = self._begin_of_lock(logits, missing)
            if begun is not None:
                return self._begin(begun)
        elif self._no_room(logits, free):
            return None
        token = free
        if not self._allows(free, missing):
            allowed = self._allowed(logits, missing)
            token = pick(allowed)
            while token != self.constraint.end and self._forbids(token):
                allowed[token] = -np.inf
                token = pick(allowed)
            if not np.isfinite(allowed[token]):
                token = self.constraint.end
        return self._end(missing) if token == self.constraint.end else self._append(token)

    def _allows(self, token: int, missing: list[int]) -> bool:
        """Return whether the constraint allows a token: what `_allowed` says of it alone."""
        held, lexicon = self.constraint, self.constraint.lexicon
        if token == held.end:
            return bool(missing) or self._is_long_enough
        if held.mask is not None and held.mask[token]:
            return False
        if held.first_mask is not None and held.first_mask[token] and not self._has_letter:
            return False
        if self._edge and lexicon.continues[token]:
            return False
        if held.characters_max and lexicon.characters[token] > self._room(missing):
            return False
        return not self._forbids(token)

    def _begin_of_lock(self, logits: np.ndarray, missing: list[int]) -> int | None:
        """Return the lock that begins here, if one does; remember what this place is worth."""
        locks, likeliest = self.constraint.locks, float(logits.max())
        first = int(logits.argmax())
        ends = first == self.constraint.end or bool(self.constraint.lexicon.final[first])
        worth = {}
        for number in missing:
            signs = locks[number].signs
            worth[number] = float(logits[signs].max()) - likeliest if len(signs) else FAR_NATS
            value = max(worth[number], FAR_NATS) + self._gain(locks[number], ends)
            if number not in self._best or value >= self._best[number][0]:
                self._best[number] = value, len(self._tokens)
        needed = sum(locks[number].tokens_most for number in missing)
        needed += len(self.constraint.final_tokens) + 1
        best = max(missing, key=lambda number: (worth[number], -number))
        if self._after_lock and not self._is_neighbour(locks[best]):
            worth[best] = FAR_NATS  # one lock does not call for the next
        if worth[best] >= -START_NATS or self.tokens_max - len(self._tokens) <= needed:
            return best
        # Those for which the row may not go back come before the sentence ends.
        return min(missing) if ends and self._returns == RETURNS_MAX else None

    def _gain(self, lock: Lock, ends: bool) -> float:
        """Return what this place gains for a lock by what is around it."""
        gain = END_NATS if ends else 0.0
        if self._is_neighbour(lock):
            return gain + NEIGHBOUR_NATS
        if not self._text.strip() or self.constraint.lexicon.final[self._tokens[-1]]:
            return gain - NEIGHBOUR_NATS
        return gain

    def _is_neighbour(self, lock: Lock) -> bool:
        """Return whether the last word stands before the lock in the source as well."""
        words = self._text.split()
        return lock.neighbour == (words[-1].casefold() if words else "")

    def _begin(self, number: int) -> int:
        """Begin a lock; return its first token."""
        first, *self._forced = self._tokens_of(number)
        return self._append(first)

    def _tokens_of(self, number: int) -> tuple[int, ...]:
        """Return the tokens of a lock that begins here, and count it as met."""
        lock = self.constraint.locks[number]
        before = self._text[-1:]
        bare = lock.joins or not before or before.isspace()
        if not lock.follows_space and before and not self.constraint.lexicon.joins(before):
            bare = True
        tokens = lock.bare if bare else lock.spaced
        self._met[number] = len(self._tokens) + len(tokens)
        return tokens

    @property
    def _missing(self) -> list[int]:
        """Return the numbers of the locks that do not stand in the sentence yet."""
        return [one for one in range(len(self.constraint.locks)) if one not in self._met]

    def _no_room(self, logits: np.ndarray, free: int) -> bool:
        """Return whether the row goes back to end before it is longer than it may be: to where it
        came nearest to ending."""
        held = self.constraint
        if not held.characters_max:
            return False
        signs = np.append(np.flatnonzero(held.lexicon.final), held.end)
        best = int(signs[logits[signs].argmax()])
        worth = float(logits[best] - logits.max())
        if held.final is not None:
            best = held.end
        room, length = self._room([]), int(held.lexicon.characters[best])
        may_end = length <= room and len(self._text) + length >= held.characters_min
        if self._tokens and may_end and worth >= (self._best_end or (-np.inf,))[0]:
            self._best_end = worth, len(self._tokens), best
        fits = free == held.end or held.lexicon.characters[free] <= room
        if fits or self._best_end is None or self._returns >= RETURNS_MAX:
            return False
        _, place, token = self._best_end
        self._return_to(place)
        self._forced = [held.end] if token == held.end else [token, held.end]
        if held.final and not self._text.endswith(held.final):
            self._forced = [*held.final_tokens, held.end]
        return True

    def _allowed(self, logits: np.ndarray, missing: list[int]) -> np.ndarray:
        """(vocab,) -> a copy with -infinity where the constraint forbids a token."""
        held, lexicon = self.constraint, self.constraint.lexicon
        allowed = logits.copy()
        if held.mask is not None:
            allowed[held.mask] = -np.inf
        if held.first_mask is not None and not self._has_letter:
            allowed[held.first_mask] = -np.inf
        if self._edge:
            allowed[lexicon.continues] = -np.inf
        if held.characters_max:
            allowed[lexicon.characters > self._room(missing)] = -np.inf
        if not (missing or self._is_long_enough):
            allowed[held.end] = -np.inf
        return allowed

    @property
    def _has_letter(self) -> bool:
        """Return whether the sentence has a letter yet."""
        return any(map(str.isalpha, self._text))

    @property
    def _is_long_enough(self) -> bool:
        """Return whether the sentence may end here, as far as its length goes."""
        held = self.constraint
        return len(self._text) + len(held.final or "") >= held.characters_min

    def _room(self, missing: list[int]) -> int:
        """Return the characters that are left beside those of what must still come."""
        held = self.constraint
        needed = sum(len(held.locks[number].text) + 1 for number in missing)
        return held.characters_max - len(self._text) - needed - len(held.final or "")

    def _forbids(self, token: int) -> bool:
        """Return whether the sentence would end with what it may not have after this token."""
        held = self.constraint
        spells = bool(held.forbids) and held.lexicon.bytes_alone[token]
        if not (held.banned or spells):
            return False
        text = self._text + held.lexicon.pieces[token]
        if held.lexicon.bytes_alone[token]:
            text = held.lexicon.spell([*self._tokens, token])
        if spells and held.forbids:
            is_first = not any(map(str.isalpha, text[:-1]))
            if text and held.forbids(text[-1], is_first and text[-1].isalpha()):
                return True
        return held.has_banned is not None and held.has_banned(text, held.banned)

    def _end(self, missing: list[int]) -> int | None:
        """Return the end of the sentence, or what must come before it; None to go back."""
        held = self.constraint
        if missing:
            best = max(missing, key=lambda number: (self._best[number][0], -number))
            place = self._best[best][1]
            if place == len(self._tokens):
                return self._begin(best)
            if self._returns < RETURNS_MAX:
                self._return_to(place)
                self._forced = list(self._tokens_of(best))
                return None
            return self._begin(min(missing))
        if held.final and not self._text.endswith(held.final):
            self._forced = [*held.final_tokens[1:], held.end]
            return self._append(held.final_tokens[0])
        return held.end

    def _return_to(self, place: int) -> None:
        """Forget what was written after a place."""
        spell = self.constraint.lexicon.spell
        self.place, self._returns, self._best_end = place, self._returns + 1, None
        self._met = {lock: end for lock, end in self._met.items() if end <= place}
        self._best = {lock: best for lock, best in self._best.items() if best[1] <= place}
        self._tokens = self._tokens[:place]
        self._text = spell(self._tokens)
        last = max(self._met.values(), default=0)
        self._locked_until = len(spell(self._tokens[:last]))
        self._mark_end()

    def _mark_end(self) -> None:
        """Note whether the last token ends a lock."""
        locks = self.constraint.locks
        ended = [locks[one] for one, end in self._met.items() if end == len(self._tokens)]
        self._after_lock, self._edge = bool(ended), any(lock.bounded for lock in ended)
        if ended:
            self._locked_until = len(self._text)

    def _append(self, token: int) -> int:
        """Append a token to what the constraint knows of the sentence, and return it."""
        held = self.constraint
        if token == held.end:
            return token
        self._tokens.append(token)
        if held.lexicon.bytes_alone[token]:
            self._text = held.lexicon.spell(self._tokens)
        else:
            self._text += held.lexicon.pieces[token]
        if not self._forced and len(self._tokens) not in self._met.values():
            self._find_locks()
        self._mark_end()
        return token

    def _find_locks(self) -> None:
        """Meet a lock that the decoder has written by itself."""
        for number in self._missing:
            lock = self.constraint.locks[number]
            start = len(self._text) - len(lock.text)
            if start < self._locked_until or not self._text.endswith(lock.text):
                continue
            joins, before = self.constraint.lexicon.joins, self._text[:start][-1:]
            if lock.joins or not before or not (joins(before) and joins(lock.text[0])):
                self._met[number] = len(self._tokens)
                return
