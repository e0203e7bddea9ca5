import pickle

import pytest

from analytics.core import errors
from analytics.core.errors import ConflictError, DependencyError, HelmsightError, InputError, LimitError, NotFoundError


def every_error(kind: type[HelmsightError] = HelmsightError) -> list[type[HelmsightError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in every_error(child))]


@pytest.mark.parametrize("kind", every_error())
def test_an_error_keeps_message_and_context_over_a_process_border(kind):
    error = pickle.loads(pickle.dumps(kind("It failed.", run_id="r1")))  # noqa: S301 - our own bytes
    assert (type(error), error.message, error.context) == (kind, "It failed.", {"run_id": "r1"})


@pytest.mark.parametrize("kind", [kind for kind in every_error() if kind.__module__ == errors.__name__])
def test_the_error_tree_in_the_docstring_names_every_error(kind):
    assert kind.__name__ in (errors.__doc__ or "")


def test_codes_are_unique():
    codes = [kind.code for kind in every_error() if kind.__module__ == errors.__name__]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("kind", "status"),
    [(InputError, 422), (NotFoundError, 404), (ConflictError, 409), (DependencyError, 503), (LimitError, 429)],
)
def test_an_error_has_the_http_status_a_caller_expects(kind, status):
    assert kind.status == status


def test_only_a_silent_dependency_is_worth_trying_again():
    ours = [kind for kind in every_error() if kind.__module__ == errors.__name__]
    assert [kind for kind in ours if kind.retryable and not issubclass(kind, DependencyError)] == []
