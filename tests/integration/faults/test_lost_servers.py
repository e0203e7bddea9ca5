"""What is left when Redis forgets, when servers die and come back, and when two schedulers tick."""

import signal
import time
from datetime import timedelta

import pytest

from analytics.store.engine import session_scope
from benchmarks.effects import now, queue_many, report, statuses, steps, wait_in_flight, wait_settled
from benchmarks.stand import Stand, node, until
from worker.workflow.schedules import ScheduleSpec, save_schedule

pytestmark = pytest.mark.integration


def test_runs_in_the_queue_outlive_an_emptied_redis(stand, workers):
    workers(1)
    run_ids = queue_many(stand, stand.store(steps("short-steps", seconds=0.2)), 70)
    stand.redis.flushall()
    run_ids += queue_many(stand, "short-steps", 5)
    stand.redis.flushall()
    assert wait_settled(stand, run_ids, within_s=40) == {"completed": 75}
    assert report(stand, "flushall", run_ids).completed_nodes_rerun == 0


def test_a_killed_valkey_stops_no_run_and_loses_none(stand, workers):
    workers(1)
    run_ids = queue_many(stand, stand.store(steps("steps", seconds=0.4)), 10)
    wait_in_flight(stand, run_ids)
    stand.end_server(stand.valkey, signal.SIGKILL)
    killed_at = now(stand)
    run_ids += queue_many(stand, "steps", 3)
    sql = "SELECT count(*) FROM bench_effect WHERE at > %s"
    until(lambda: stand.sql(sql, killed_at)[0][0] > 10, "work without Valkey", within_s=20)
    stand.start_server(stand.valkey)
    assert wait_settled(stand, run_ids, within_s=40) == {"completed": 13}
    assert report(stand, "redis_restart", run_ids).completed_nodes_rerun == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in-order", "as-in-a-crash"])
def test_runs_wait_for_postgres_and_go_on_where_they_were(stand, workers, how):
    workers(1)
    run_ids = queue_many(stand, stand.store(steps("steps", seconds=0.4)), 10)
    wait_in_flight(stand, run_ids)
    stand.engine.dispose()
    stand.end_server(stand.postgres, how)
    time.sleep(1)
    stand.start_server(stand.postgres)
    wait_settled(stand, run_ids, within_s=60)
    found = report(stand, "postgres_restart", run_ids)
    assert (found.lost_runs, found.completed_nodes_rerun) == (0, 0), found.as_dict()


def test_two_schedulers_start_each_time_once_and_one_is_enough(stand, workers):
    workers(1)
    workflow = stand.store({"name": "ticked", "nodes": [node("a", "bench.effect", seconds=0)]})
    pair = [stand.start_worker("scheduler"), stand.start_worker("scheduler")]
    stand.wait_ready(*pair)
    with session_scope(stand.engine) as session:
        spec = ScheduleSpec(name="every second", workflow=workflow, every_s=1.0, catchup="all")
        schedule_id = save_schedule(session, spec, requested_by=None)
    until(lambda: len(times(stand, schedule_id)) >= 3, "three times", within_s=20)
    pair[0].kill()
    stand.workers.pop(pair[0].name)
    so_far = len(times(stand, schedule_id))
    until(lambda: len(times(stand, schedule_id)) >= so_far + 3, "three times more", within_s=20)
    stand.sql("UPDATE schedule SET paused_at = now() WHERE id = %s", schedule_id)
    stand.stop_worker(pair[1])
    found = times(stand, schedule_id)
    assert len(found) == len(set(found)), "a time was taken twice"
    assert max(found) - min(found) == timedelta(seconds=len(found) - 1), "a time was left out"
    run_ids = [row[0] for row in stand.sql("SELECT id FROM run WHERE schedule_id = %s", schedule_id)]
    wait_settled(stand, run_ids, within_s=20)
    assert statuses(stand, run_ids) == {"completed": len(found)}


def times(stand: Stand, schedule_id) -> list:
    return [row[0] for row in stand.sql("SELECT scheduled_for FROM run WHERE schedule_id = %s", schedule_id)]
