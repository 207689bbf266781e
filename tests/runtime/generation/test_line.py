"""Who is next: nobody is done later than if all were served at once with equal shares."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scripted import Caller, request_of

from halfbyte.generation.line import Line
from halfbyte.generation.request import Request


def waiting(n: int, priority: float = 1.0) -> Request:
    request = request_of([0] * n)
    Caller(request, priority=priority)
    return request


def in_order(line: Line) -> list[Request]:
    return [line.leave() for _ in range(len(line))]


def test_the_shortest_of_those_who_come_together_is_first() -> None:
    line, requests = Line(), [waiting(n) for n in (300, 5, 40)]
    for request in requests:
        line.enter(request)
    assert line.first is requests[1]
    assert in_order(line) == [requests[i] for i in (1, 2, 0)]
    assert line.first is None


def test_one_who_has_waited_goes_before_newcomers() -> None:
    line, long, n_before = Line(), waiting(1000), 0
    line.enter(long)
    while True:
        line.enter(waiting(100))
        first = line.leave()
        if first is long:
            break
        n_before += 1
        line.go_on(100)
    assert 18 <= n_before < 100  # of a load that takes all of the machine


def test_a_list_of_prompts_is_one_caller() -> None:
    line, many = Line(), [request_of([0] * 10) for _ in range(50)]
    Caller(*many)
    for request in many:
        line.enter(request)
    other = waiting(15)
    line.enter(other)
    order = in_order(line)
    assert order.index(other) == 1
    assert [r for r in order if r is not other] == many


def test_priority_is_a_share() -> None:
    line = Line()
    slow, fast = waiting(100), waiting(150, priority=2)
    line.enter(slow)
    line.enter(fast)
    assert in_order(line) == [fast, slow]


def test_what_need_not_be_computed_is_not_waited_for() -> None:
    line, known, given_up = Line(), waiting(5000), waiting(5000)
    line.enter(known, n_known=4990)
    line.enter(waiting(100))
    assert line.leave() is known
    line.enter(given_up)
    line.leave(given_up)
    line.settle(given_up)
    line.go_on(110)
    assert not line._served and line._now == 100


def test_the_first_of_other_callers() -> None:
    line, many, other = Line(), [request_of([0]) for _ in range(3)], waiting(50)
    caller = Caller(*many)
    for request in (*many, other):
        line.enter(request)
    assert line.first_but_of([caller]) is other
    assert line.leave(other) is other and line.first_but_of([caller]) is None
    assert in_order(line) == many


def test_whoever_was_cancelled_leaves() -> None:
    line, requests = Line(), [waiting(n) for n in (3, 1, 2)]
    for request in requests:
        line.enter(request)
    requests[1].is_cancelled = True
    assert line.remove_unwanted() == [requests[1]] and line.remove_unwanted() == []
    assert in_order(line) == [requests[2], requests[0]]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300)), min_size=1, max_size=12))
def test_nobody_is_done_later_than_under_equal_shares(arrivals: list[tuple[int, int]]) -> None:
    """Against a slow twin that gives every waiting caller a token in turn; a step is ten tokens."""
    arrivals.sort()
    fair = _finished_in_turns(arrivals)
    line, left, done, at = Line(), {}, {}, 0
    queue = [(begin, i, n) for i, (begin, n) in enumerate(arrivals)]
    served: Request | None = None
    while queue or len(line) or served:
        while queue and queue[0][0] <= at:
            _, i, n = queue.pop(0)
            request = waiting(n)
            left[request] = [n, i]
            line.enter(request)
        if served is not None:
            line.put_back(served)
        if not len(line):
            at, served = queue[0][0], None
            continue
        served = line.leave()
        n = min(10, left[served][0])
        at, left[served][0] = at + n, left[served][0] - n
        line.go_on(n)
        if not left[served][0]:
            done[left[served][1]] = at
            served = None
    # A token's share of a step, and a newcomer's wait for the one that runs.
    assert all(done[i] <= fair[i] + 10 + len(arrivals) for i in done)


def _finished_in_turns(arrivals: list[tuple[int, int]]) -> dict[int, int]:
    left = {i: n for i, (_, n) in enumerate(arrivals)}
    done: dict[int, int] = {}
    at = 0
    while left:
        here = [i for i in left if arrivals[i][0] <= at]
        at += not here
        for i in here:
            at, left[i] = at + 1, left[i] - 1
            if not left[i]:
                del left[i]
                done[i] = at
    return done
