"""Which requests are taken: room for others, time until the deadline, and what a refusal says."""

import time

import pytest

from textvae.engine.admission import Admission
from textvae.engine.caller import Caller
from textvae.engine.job import Job
from textvae.engine.prices import Prices, Work
from textvae.errors import BusyError, ExpiredError

GREEDY, LIGHT = Caller("greedy"), Caller("light")
ROWS_MAX = 100
TOKEN_S = 0.001
"""Seconds that a token is written in; a row takes 12 of them until one has ended."""


def job(rows: int, caller: Caller = GREEDY, left_s: float | None = None) -> Job:
    """A request of a caller for so many rows, which has so many seconds."""
    deadline_s = None if left_s is None else time.monotonic() + left_s
    return Job(Work("sample", 0, rows, rows), 0, caller, deadline_s)


@pytest.fixture
def admission() -> Admission:
    """Room for 100 rows of a caller and 400 of all."""
    return Admission(Prices(TOKEN_S, TOKEN_S), ROWS_MAX, 0.4)


def refused(admission: Admission, one: Job) -> BusyError:
    """The refusal of a request."""
    with pytest.raises(BusyError) as error:
        admission.take(one)
    return error.value


def test_a_caller_has_its_rows_and_no_more(admission: Admission) -> None:
    admission.take(job(60))
    admission.take(job(40))
    error = refused(admission, job(1))
    assert str(error) == (
        "engine: 100 rows of at most 100 are waiting and 1 more were asked; "
        "call later or ask for fewer"
    )
    assert error.quota == "rows"
    assert error.retry_s >= 0.05


def test_greedy_callers_leave_room_for_another(admission: Admission) -> None:
    for number in range(10):
        try:
            admission.take(job(ROWS_MAX, Caller(f"greedy-{number}")))
        except BusyError:
            break
    admission.take(job(50, LIGHT))
    assert admission.rows <= 4 * ROWS_MAX
    assert admission.callers == number + 1


def test_what_a_request_has_done_is_room_for_others_before_it_ends(admission: Admission) -> None:
    long = job(100)
    admission.take(long)
    for _ in range(30):
        admission.row_ended(long, 1, 0.01)
    admission.take(job(30))
    refused(admission, job(1))
    admission.release(long)
    assert admission.rows == 30
    admission.release(long)
    assert admission.rows == 30


def test_a_request_that_needs_more_than_it_said_costs_more(admission: Admission) -> None:
    one = job(10)
    admission.take(one)
    admission.grow(one, 85)
    refused(admission, job(10))
    admission.release(one)
    assert (admission.rows, admission.callers) == (0, 0)
    admission.grow(one, 85)
    assert admission.rows == 0


def test_a_call_that_would_wait_for_too_much_of_its_time_is_told_for_how_long(
    admission: Admission,
) -> None:
    """100 rows take 1.2 s, so that another one may come once half of them have been written."""
    admission.take(job(100, LIGHT))
    error = refused(admission, job(60, GREEDY, 1.5))
    assert error.quota == "time"
    assert "the call has 1.50 s" in str(error)
    assert 0.05 < error.retry_s < 1.2
    admission.take(job(60, GREEDY, 10.0))


def test_a_light_call_waits_for_its_share_of_a_greedy_one_alone(admission: Admission) -> None:
    admission.take(job(100))
    admission.take(job(1, LIGHT, 0.1))
    refused(admission, job(40, LIGHT, 0.6))


def test_a_short_call_is_not_behind_a_long_one_of_the_same_caller(admission: Admission) -> None:
    admission.take(job(90))
    admission.take(job(1, GREEDY, 0.1))
    refused(admission, job(9, LIGHT._replace(is_bulk=True), 0.1))


def test_interactive_work_does_not_wait_for_bulk_work(admission: Admission) -> None:
    bulk = Caller("bulk", is_bulk=True)
    admission.take(job(100, bulk))
    admission.take(job(50, LIGHT, 1.0))
    refused(admission, job(50, bulk._replace(name="other"), 1.0))


def test_a_call_that_nothing_is_before_may_try(admission: Admission) -> None:
    """Unless its own work takes twice its time: then it need not come again."""
    with pytest.raises(ExpiredError, match=r"has 0.50 s and its answer alone takes some 1.20 s"):
        admission.take(job(100, GREEDY, 0.5))
    admission.take(job(100, GREEDY, 0.7))


def test_prices_learn_what_rows_and_requests_of_a_kind_take() -> None:
    prices = Prices(0.0, 0.001)
    before = prices.seconds(Work("sample", 0, 10, 10))
    assert before == pytest.approx(0.12)
    for _ in range(200):
        prices.learn_row("sample", 24)
    assert prices.seconds(Work("sample", 0, 10, 10)) == pytest.approx(0.24, rel=0.01)
    assert prices.seconds(Work("decode", 0, 10, 10)) == before
    for _ in range(50):
        prices.learn_request(Work("sample", 0, 10, 10), 0.72, 40)
    assert prices.seconds(Work("sample", 0, 10, 10)) == pytest.approx(0.72, rel=0.01)
    for _ in range(50):
        prices.learn_write(0.064, 32)
    assert prices.write_s == pytest.approx(0.002, rel=0.01)


def test_without_a_price_every_call_with_a_deadline_is_taken() -> None:
    admission = Admission(Prices(), ROWS_MAX, 0.4)
    admission.take(job(100, LIGHT))
    admission.take(job(100, GREEDY, 0.01))


def test_a_call_behind_others_needs_the_time_of_its_longest_row_too() -> None:
    """A row is written a token a step, and a step of full slots takes its time."""
    prices = Prices(TOKEN_S, TOKEN_S)
    admission = Admission(prices, ROWS_MAX, 0.4, slots=50)
    admission.take(job(10, LIGHT))
    admission.take(job(10, GREEDY, 1.0))
    prices.learn_request(Work("sample", 0, 10, 10), 0.12, 30)
    assert refused(admission, job(10, Caller("other"), 1.0)).quota == "time"
    admission.take(job(10, Caller("other"), 3.0))
