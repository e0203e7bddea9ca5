import threading

from analytics.core.ids import new_id, new_secret


def test_ids_are_version_7_and_in_order():
    ids = [new_id() for _ in range(20_000)]
    assert all(value.version == 7 for value in ids)
    assert ids == sorted(set(ids))


def test_threads_never_share_an_id():
    made = []

    def make() -> None:
        made.extend([new_id() for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000


def test_a_secret_is_long_and_never_the_same():
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(new_secret()) >= 43
