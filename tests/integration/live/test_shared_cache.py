"""The cache that processes share; each `Caches` here stands for a process."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import redis
from prometheus_client import REGISTRY

from analytics.core.errors import DependencyError, InvariantError
from analytics.core.memo import CacheStats
from analytics.live import cache
from analytics.live.cache import STRATEGIES, Caches, Kept, Strategy, cached, invalidate, read_anew, user_tag

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Lead:
    name: str
    at: datetime
    worth: Decimal
    score: float | None


LEAD = Lead("Ada", datetime(2026, 11, 1, tzinfo=UTC), Decimal("12.50"), None)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def no_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process reads the versions of tags each time, as it otherwise does after a second."""
    monkeypatch.setattr(cache, "TRUST", timedelta(0))


def counted(answers: Iterator[object]) -> tuple[Callable[[], object], list[object]]:
    read: list[object] = []

    def compute() -> object:
        read.append(next(answers))
        return read[-1]

    return compute, read


def stats(caches: Caches, name: str = "leads") -> CacheStats:
    return next(found for found in caches.stats() if found.name == name)


def test_the_second_call_is_a_hit_and_another_process_is_answered_by_redis(client: redis.Redis) -> None:
    one, other = Caches(client), Caches(client)
    compute, read = counted(iter([LEAD]))
    sources = [caches.ask("leads", 7, compute, of=Lead).source for caches in (one, one, other, other)]
    assert sources == ["computed", "process", "shared", "process"]
    assert read == [LEAD]
    assert other.remember("leads", 7, compute, of=Lead) == LEAD
    assert (stats(one).hit_rate, stats(one).misses, stats(one).size) == (0.5, 1, 1)
    assert (stats(other).hit_rate, stats(other).shared_hits) == (1, 1)
    assert other.ask("leads", 7, compute, of=Lead).computed_at == one.ask("leads", 7, compute, of=Lead).computed_at


def test_an_answer_whose_type_is_not_known_stays_in_its_process(client: redis.Redis) -> None:
    compute, read = counted(iter([1, 2]))
    assert [caches.remember("leads", 7, compute) for caches in (Caches(client), Caches(client))] == [1, 2]
    assert client.keys("*value*") == []
    assert read == [1, 2]


@pytest.mark.usefixtures("no_trust")
@pytest.mark.parametrize("of", [int, None])
def test_a_change_voids_in_every_process_what_rests_on_it_and_nothing_else(client: redis.Redis, of: object) -> None:
    one, other = Caches(client), Caches(client)
    compute, _ = counted(iter(range(100)))
    for caches in (one, other):
        caches.remember("leads", "a", compute, of=of, tags=("leads", user_tag(7)))
        caches.remember("leads", "b", lambda: -1, of=of, tags=("leads", user_tag(8)))
    before = {
        caches: caches.remember("leads", "a", compute, of=of, tags=("leads", user_tag(7))) for caches in (one, other)
    }
    one.invalidate_user(7)
    for caches in (one, other):
        assert caches.remember("leads", "a", compute, of=of, tags=("leads", user_tag(7))) > before[caches]
        assert caches.ask("leads", "b", compute, of=of, tags=("leads", user_tag(8))).is_hit
    assert stats(other).invalidations == 1
    assert invalidate(client, "leads"), "a worker has no caches of its own"
    for caches in (one, other):
        assert caches.remember("leads", "b", compute, of=of, tags=("leads", user_tag(8))) != -1


def test_a_process_notices_its_own_changes_at_once(client: redis.Redis) -> None:
    caches = Caches(client)
    compute, _ = counted(iter(range(100)))
    for expected in range(3):
        assert caches.remember("leads", "a", compute, of=int, tags=("leads",)) == expected
        caches.invalidate("leads")


@pytest.mark.usefixtures("no_trust")
def test_what_was_read_before_a_change_and_kept_after_it_is_not_handed_out(client: redis.Redis) -> None:
    one, other = Caches(client), Caches(client)

    def reads_too_early() -> int:
        other.invalidate("leads")
        return 1

    assert one.remember("leads", "a", reads_too_early, of=int, tags=("leads",)) == 1
    assert one.remember("leads", "a", lambda: 2, of=int, tags=("leads",)) == 2
    assert other.remember("leads", "a", lambda: 3, of=int, tags=("leads",)) == 2


def test_callers_at_the_same_time_share_one_computation_and_one_failure() -> None:
    caches = Caches(None)
    entered, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow() -> int:
        calls.append(1)
        entered.set()
        go_on.wait(20)
        raise DependencyError("away")

    outcomes: list[str] = []

    def ask() -> None:
        try:
            caches.remember("leads", "a", slow)
        except DependencyError as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    threads[0].start()
    assert entered.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(caches._flights[next(iter(caches._flights))]._condition._waiters) < 4:  # type: ignore[attr-defined]
        pass
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert (len(calls), outcomes) == (1, ["away"] * 5)
    assert caches.remember("leads", "a", lambda: 2) == 2, "nothing was kept"


def test_two_processes_share_one_computation(client: redis.Redis) -> None:
    one, other = Caches(client), Caches(client)
    entered, found = threading.Event(), []

    def slow() -> int:
        entered.set()
        asking.start()
        return 1

    def ask_elsewhere() -> None:
        found.append(other.ask("leads", "a", lambda: 2, of=int))

    asking = threading.Thread(target=ask_elsewhere)
    assert one.remember("leads", "a", slow, of=int) == 1
    asking.join(20)
    assert [(kept.value, kept.source) for kept in found] == [(1, "shared")]


def test_everybody_can_ask_for_it_to_be_read_anew(client: redis.Redis) -> None:
    one, other = Caches(client), Caches(client)
    compute, _ = counted(iter(range(100)))
    assert one.remember("overview", "a", compute, of=int) == 0
    assert one.remember("overview", "a", compute, of=int, force=True) == 1
    with read_anew():
        assert one.remember("overview", "a", compute, of=int) == 2
    assert other.remember("overview", "a", compute, of=int) == 2


def test_answers_can_be_put_got_and_forgotten_by_a_pattern(client: redis.Redis) -> None:
    one, other = Caches(client), Caches(client)
    for name in ("user-1/a", "user-1/b", "user-2/a"):
        one.put("users", name, name, of=str)
    assert one.forget("users", "user-1/*") == 2
    assert one.get("users", "user-1/a", of=str) is None
    assert other.get("users", "user-1/b", of=str) is None
    kept = other.get("users", "user-2/a", of=str)
    assert isinstance(kept, Kept)
    assert (kept.value, kept.source) == ("user-2/a", "shared")


@dataclass
class Repository:
    caches: Caches
    reads: int = 0

    @cached("leads", of=list[Lead], tags=lambda owner, **_: (f"owner:{owner}",))
    def of_owner(self, owner: str, *, limit: int = 10) -> list[Lead]:
        self.reads += 1
        return [replace(LEAD, name=owner)] * limit


def test_a_method_remembers_by_its_arguments(client: redis.Redis) -> None:
    repository = Repository(Caches(client))
    for _ in range(2):
        assert [lead.name for lead in repository.of_owner("ada", limit=2)] == ["ada", "ada"]
        assert [lead.name for lead in repository.of_owner("bob", limit=1)] == ["bob"]
    assert repository.reads == 2
    repository.caches.invalidate("owner:ada")
    repository.of_owner("ada", limit=2)
    repository.of_owner("bob", limit=1)
    assert repository.reads == 3


def test_without_redis_a_process_goes_on_with_what_it_keeps_and_tells_of_changes_once_it_is_back(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "TRUST", timedelta(0))
    away = redis.Redis(host="127.0.0.1", port=1, retry=None, socket_connect_timeout=1)
    caches, other = Caches(client), Caches(client)
    assert caches.remember("leads", "a", lambda: 1, of=int, tags=("leads",)) == 1
    caches._shared._client = away
    assert caches.remember("leads", "a", lambda: 2, of=int, tags=("leads",)) == 1
    caches.invalidate("leads")
    assert not caches.is_shared
    assert caches.remember("leads", "a", lambda: 2, of=int, tags=("leads",)) == 2
    assert other.remember("leads", "a", lambda: 3, of=int, tags=("leads",)) == 1, "nobody could tell it"
    caches._shared._client, caches._shared._rests_until = client, 0.0
    assert caches.remember("leads", "a", lambda: 4, of=int, tags=("leads",)) == 2
    assert other.remember("leads", "a", lambda: 3, of=int, tags=("leads",)) == 3


def test_an_answer_of_another_release_is_read_anew(client: redis.Redis) -> None:
    Caches(client).remember("leads", "a", lambda: "text", of=str)
    assert Caches(client).remember("leads", "a", lambda: LEAD, of=Lead) == LEAD


def test_how_long_an_answer_took_is_measured_by_where_it_came_from(client: redis.Redis) -> None:
    def took(source: str, part: str = "count") -> float:
        name = f"helmsight_cache_answer_duration_seconds_{part}"
        return REGISTRY.get_sample_value(name, {"cache": "tasks", "source": source}) or 0.0

    sources = ("computed", "process", "shared")
    before, spent = [took(source) for source in sources], took("computed", "sum")
    for caches in (Caches(client), Caches(client)):
        for _ in range(2):
            assert caches.remember("tasks", "a", lambda: 1, of=int, tags=("tasks",)) == 1
    assert Caches(client).get("tasks", "a", of=int, tags=("tasks",)) is not None
    assert [took(source) - was for source, was in zip(sources, before, strict=True)] == [1, 2, 2]
    assert took("computed", "sum") > spent


def test_every_cache_has_its_strategy_and_an_unknown_name_is_a_mistake_of_ours() -> None:
    known = {item.name: (item.ttl.total_seconds(), item.most) for item in STRATEGIES}
    assert known["tasks"] == (300, 1000)
    assert known["contexts"] == (600, 500)
    assert known["agents"] == (1800, 200)
    assert known["sessions"] == (3600, 100)
    assert (known["overview"][0], known["metrics"][0], known["leads"][0], known["users"][0]) == (60, 30, 300, 600)
    with pytest.raises(InvariantError):
        Caches(None).remember("nonsense", "a", lambda: 1)


def test_a_cache_keeps_no_more_than_its_bound_and_counts_what_it_pushes_out() -> None:
    caches = Caches(None, [Strategy("leads", timedelta(minutes=5), 2, "leads")])
    for key in range(5):
        caches.remember("leads", key, lambda: 1)
    found = stats(caches)
    assert (found.size, found.max_size, found.evictions, found.misses, found.hit_rate) == (2, 2, 3, 5, 0)
    assert found.mean_compute_s is not None


def test_installations_that_share_a_redis_do_not_share_answers(client: redis.Redis) -> None:
    assert Caches(client, place="one").remember("leads", "a", lambda: 1, of=int) == 1
    assert Caches(client, place="other").remember("leads", "a", lambda: 2, of=int) == 2


@pytest.mark.usefixtures("no_trust")
def test_an_answer_put_after_a_change_that_came_while_it_was_read_is_void(client: redis.Redis) -> None:
    caches = Caches(client)
    before = caches.versions(("leads",))
    caches.put("leads", "a", 1, of=int, versions=before)
    assert caches.get("leads", "a", of=int, tags=("leads",)) is not None
    caches.invalidate("leads")
    caches.put("leads", "a", 1, of=int, versions=before)
    assert caches.get("leads", "a", of=int, tags=("leads",)) is None
