"""Once a session ended, a part of a page cannot be run without the page that checks who looks."""

from streamlit.proto.BackMsg_pb2 import BackMsg

from dashboard.middleware.identity import _as_whole_run


def test_a_run_of_a_fragment_becomes_a_run_of_the_page():
    asked = BackMsg()
    asked.rerun_script.fragment_id = "part"
    asked.rerun_script.query_string = "range=6h"
    changed = BackMsg()
    changed.ParseFromString(_as_whole_run(asked.SerializeToString()))
    assert changed.rerun_script.fragment_id == ""
    assert changed.rerun_script.query_string == "range=6h"


def test_other_messages_pass_unchanged():
    asked = BackMsg()
    asked.stop_script = True
    content = asked.SerializeToString()
    assert _as_whole_run(content) == content
