"""How the benchmark talks to a peer: a question a line, an answer a line, both JSON; logs go to standard error.

Runs in the peers' environment, which does not have our packages.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO


def take_answers() -> TextIO:
    """Return where answers go, and let everything else that is printed go to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def answer_each(answers: TextIO, work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer every line of standard input with what *work* returns, until it closes."""
    say(answers, {"ready": True})
    for line in sys.stdin:
        say(answers, work(json.loads(line)))


def say(answers: TextIO, value: dict[str, Any]) -> None:
    """Write one answer."""
    answers.write(json.dumps(value) + "\n")
    answers.flush()
