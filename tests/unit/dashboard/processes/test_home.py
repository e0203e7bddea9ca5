import json
import os

import psutil
import pytest

from analytics.core.errors import ConfigError
from dashboard.processes.groups import ProcessGroup
from dashboard.processes.home import AlreadyRunningError, Home, PartState, PartStatus, StackState


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def state(**changes):
    group = ProcessGroup(name="postgres", pid=4242, created=1.5, stage=1)
    return StackState(
        **{
            "start_id": "abc",
            "pid": os.getpid(),
            "created": psutil.Process().create_time(),
            "started_at": "2026-01-01T00:00:00+00:00",
            "url": "http://127.0.0.1:8501",
            "ports": {"http": 8501},
            "parts": (PartStatus(name="postgres", state=PartState.READY, since="now", group=group, restarts=2),),
            **changes,
        }
    )


def test_a_state_is_read_back_as_it_was_written(home):
    home.write_state(state())
    assert home.read_state() == state()
    assert oct(home._state.stat().st_mode & 0o777) == "0o600"


def test_a_state_of_a_living_process_is_the_running_one(home):
    home.write_state(state())
    assert home.running_state() == state()


def test_a_reused_process_id_does_not_count_as_running(home):
    home.write_state(state(created=1.0))
    assert home.running_state() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"version": 1}), json.dumps({"version": 99})])
def test_a_state_that_cannot_be_used_counts_as_none(home, text):
    home._state.write_text(text)
    assert home.read_state() is None


def test_a_second_start_on_the_same_home_is_told_where_the_first_one_is(home):
    home.write_state(state())
    with home.locked(), pytest.raises(AlreadyRunningError) as caught, home.locked():
        pass
    assert "http://127.0.0.1:8501" in caught.value.message
    assert str(os.getpid()) in caught.value.message
    assert caught.value.context == {"url": "http://127.0.0.1:8501", "pid": os.getpid()}


def test_a_home_is_free_again_after_its_block(home):
    for _ in range(2):
        with home.locked():
            pass


def test_a_home_that_cannot_be_made_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="HELMSIGHT_HOME"):
        Home(tmp_path / "file" / "home").prepare()


def test_secrets_are_for_their_owner_only(home):
    assert oct(home.secrets.stat().st_mode & 0o777) == "0o700"
