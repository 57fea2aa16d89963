"""The rows of a shard as requests of an engine, several of them at a time."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from textvae.bulk.rows import InputRow
from textvae.bulk.tasks import TASKS, Asked, Found, Piece
from textvae.errors import InputError

if TYPE_CHECKING:
    from textvae.engine.engine import Engine

PIECE_SENTENCES, PIECE_SLOTS = 512, 256
"""Most sentences, and about as many rows of the decoder, of one request."""
AT_A_TIME = 8
"""Requests that an engine has: the rows of some are written while others are read or judged."""
_PLACE = re.compile(r"\b(?:sentences|points)\[(\d+)\](?:\.sentence)?")


def answer_rows(
    engine: "Engine",
    rows: Sequence[tuple[InputRow, int]],
    asked: Asked,
    on_rows: Callable[[int], None],
) -> list[Found]:
    """Return what was found for each row, which needs so many results; `on_rows` gets the number
    of rows that were done since its last call."""
    pieces = pieces_of(rows, asked)
    answers: dict[int, Found] = {}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        futures = [pool.submit(answer_piece, engine, piece, asked) for piece in pieces]
        try:
            for piece, future in zip(pieces, futures, strict=True):
                numbers = (row.number for row in piece.rows)
                answers |= dict(zip(numbers, future.result(), strict=True))
                on_rows(len(piece.rows))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [answers.get(row.number) or Found([], [], row.problem) for row, _ in rows]


def pieces_of(rows: Sequence[tuple[InputRow, int]], asked: Asked) -> list[Piece]:
    """Divide rows, each with the results that it needs, into pieces; rows with a problem are none.

    What is written of a row does not depend on its piece.
    """
    task, found = TASKS[asked.task], list[Piece]()
    for row, wanted in rows:
        if row.problem:
            continue
        slots = task.slots(asked, wanted)
        most = max(1, min(PIECE_SENTENCES, PIECE_SLOTS // slots if slots else PIECE_SENTENCES))
        last = found[-1] if found and not task.alone else None
        if (
            last
            and last.wanted == wanted
            and last.rows[-1].number + 1 == row.number
            and len(last.rows) < most
        ):
            found[-1] = last._replace(rows=(*last.rows, row))
        else:
            found.append(Piece((row,), wanted))
    return found


def answer_piece(engine: "Engine", piece: Piece, asked: Asked) -> list[Found]:
    """Return what was found for each row; one that the engine refuses costs itself alone.

    Raises InputError where what is refused is no row.
    """
    try:
        return TASKS[asked.task].answer(engine, piece, asked)
    except InputError as error:
        match = _PLACE.search(str(error))
        if not match:
            raise
        place = min(int(match[1]), len(piece.rows) - 1)
        is_field = error.field.startswith(match[0])
        words = error.problem if is_field else _PLACE.sub("the sentence", str(error))
    before, after = piece.rows[:place], piece.rows[place + 1 :]
    found = [Found([], [], words)]
    if before:
        found = [*answer_piece(engine, piece._replace(rows=before), asked), *found]
    if after:
        found += answer_piece(engine, piece._replace(rows=after), asked)
    return found
