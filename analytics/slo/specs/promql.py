"""Whether a text is PromQL, told without asking Prometheus: grammar, functions, and ranges where they belong."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from analytics.core.errors import InputError
from analytics.slo.specs.problems import nearest

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    |(?P<length>(?:\d+(?:ms|[yYwdhms]))+(?![\w]))
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w]))
    |(?P<name>[a-zA-Z_:][\w:]*)
    |(?P<sign>=~|!~|==|!=|>=|<=|[-+*/%^<>=(){}\[\],@:])""",
    re.VERBOSE | re.ASCII,
)
_NAME = re.compile(r"[a-zA-Z_]\w*", re.ASCII)
_STEP = re.compile(r":(?:(?:\d+(?:ms|[ywdhms]))+)?", re.ASCII)
"""What follows the length of a subquery; it reads like the name of a metric."""
_MOST_NESTED = 60


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_AGGREGATIONS = _words(
    "sum avg min max count group stddev stdvar topk bottomk quantile count_values limitk limit_ratio"
)
_OF_RANGES = _words("""
    rate increase irate delta idelta deriv changes resets predict_linear holt_winters double_exponential_smoothing
    absent_over_time avg_over_time count_over_time first_over_time last_over_time mad_over_time max_over_time
    min_over_time present_over_time quantile_over_time stddev_over_time stdvar_over_time sum_over_time
    ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time
""")
_OF_VECTORS = _words("""
    abs absent acos acosh asin asinh atan atanh ceil clamp clamp_max clamp_min cos cosh day_of_month day_of_week
    day_of_year days_in_month deg exp floor histogram_avg histogram_count histogram_fraction histogram_quantile
    histogram_quantiles histogram_stddev histogram_stdvar histogram_sum hour info label_join label_replace ln log10
    log2 minute month pi rad round scalar sgn sin sinh sort sort_by_label sort_by_label_desc sort_desc sqrt tan tanh
    time timestamp vector year start end range step
""")
_SCALARS = frozenset({"scalar", "time", "pi"})
_PRECEDENCE = {
    "or": 1, "and": 2, "unless": 2, "==": 3, "!=": 3, ">": 3, "<": 3, ">=": 3, "<=": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 7,
}  # fmt: skip
_OF_SIGN = 6
_COMPARISON = 3


class _Kind(enum.Enum):
    NUMBER = "a number"
    TEXT = "text"
    VECTOR = "an instant vector"
    RANGE = "a range vector"


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric with matchers, and nothing around it."""

    metric: str
    matchers: str
    """Without braces."""
    offset: str = ""
    """Such as ``offset 1m``; empty without one."""

    def matcher_of(self, label: str) -> str | None:
        """Return what *label* must be equal to; None when nothing says so."""
        found = re.search(rf'(?:^|,)\s*{label}\s*=\s*"([^"]*)"', self.matchers)
        return found[1] if found else None

    def without(self, label: str) -> str:
        """Return the matchers without those of *label*."""
        kept = re.sub(rf'(?:^|,)\s*{label}\s*(?:=~|!~|!=|=)\s*"(?:\\.|[^"\\])*"', "", self.matchers)
        return kept.strip().strip(",").strip()


def check_promql(expression: str) -> None:
    """Do nothing when *expression* is PromQL that gives a vector or a number.

    Raises:
        InputError: If it is not; the message says where and why.
    """
    parser = _Parser(expression)
    kind = parser.expression()
    parser.end()
    if kind in {_Kind.RANGE, _Kind.TEXT}:
        raise InputError(f"the query gives {kind.value}; a vector or a number is needed")


def selector(expression: str) -> Selector:
    """Return *expression* as the selector that it must be.

    Raises:
        InputError: If it is anything else.
    """
    check_promql(expression)
    found = re.fullmatch(r"\s*([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\})?\s*((?:offset\s+\S+)?)\s*", expression, re.DOTALL)
    if found is None:
        raise InputError('a metric with matchers is needed, such as requests_total{code=~"5.."}, and nothing around it')
    return Selector(found[1], (found[2] or "").strip().strip(",").strip(), found[3])


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    # ---- Tokens ----

    def _split(self) -> Sequence[_Token]:
        found, place = [], 0
        while place < len(self._text):
            match = _TOKEN.match(self._text, place)
            if match is None:
                raise InputError(f"{self._text[place]!r} cannot be read {self._where(place)}")
            if match.lastgroup != "space":
                found.append(_Token(str(match.lastgroup), match[0], place))
            place = match.end()
        return [*found, _Token("end", "", place)]

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> bool:
        if self._next.kind in {"sign", "name"} and self._next.text.lower() in texts:
            self._at += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._take(text):
            self._fail(f"{text!r} is missing")

    def _need_kind(self, kind: str, what: str) -> str:
        token = self._next
        if token.kind != kind:
            self._fail(f"{what} is missing")
        self._at += 1
        return token.text

    def _fail(self, reason: str) -> None:
        found = f", there is {self._next.text!r}" if self._next.text else ", the query ends"
        raise InputError(f"{reason} {self._where(self._next.place)}{found}")

    def _where(self, place: int) -> str:
        line, column = self._text.count("\n", 0, place) + 1, place - self._text.rfind("\n", 0, place)
        return f"at character {column}" if "\n" not in self._text.strip() else f"in line {line} at character {column}"

    def end(self) -> None:
        """Refuse what is left."""
        if self._next.kind != "end":
            self._fail("an operator is missing")

    # ---- Grammar ----

    def expression(self, least: int = 1) -> _Kind:
        """Read operands and the operators that bind at least so tightly."""
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise InputError(f"the query is nested deeper than {_MOST_NESTED} levels")
        left = self._signed()
        while (precedence := _PRECEDENCE.get(self._next.text.lower(), 0)) >= least and self._next.kind != "string":
            operator = self._next.text.lower()
            self._at += 1
            self._matching(precedence)
            right = self.expression(precedence if operator == "^" else precedence + 1)
            for side in (left, right):
                if side in {_Kind.RANGE, _Kind.TEXT}:
                    raise InputError(f"{operator!r} cannot take {side.value}")
            left = _Kind.NUMBER if left is right is _Kind.NUMBER else _Kind.VECTOR
        self._depth -= 1
        return left

    def _matching(self, precedence: int) -> None:
        if precedence == _COMPARISON:
            self._take("bool")
        if self._take("on", "ignoring"):
            self._names()
            if self._take("group_left", "group_right") and self._next.text == "(":
                self._names()

    def _signed(self) -> _Kind:
        if self._take("-", "+"):
            return self.expression(_OF_SIGN)
        return self._followed(self._atom())

    def _atom(self) -> _Kind:
        token, kind = self._next, _Kind.VECTOR
        if token.kind in {"string", "number", "length"} or token.text.lower() in {"inf", "nan"}:
            self._at += 1
            kind = _Kind.TEXT if token.kind == "string" else _Kind.NUMBER
        elif self._take("("):
            kind = self.expression()
            self._need(")")
        elif token.text == "{":
            self._matchers(named=False)
        else:
            kind = self._named(self._need_kind("name", "a metric, a function or a number"))
        return kind

    def _named(self, name: str) -> _Kind:
        if name.lower() in _AGGREGATIONS and self._next.text.lower() in {"(", "by", "without"}:
            return self._aggregation()
        if self._next.text == "(":
            return self._call(name)
        if self._next.text == "{":
            self._matchers(named=True)
        return _Kind.VECTOR

    def _followed(self, kind: _Kind) -> _Kind:
        while True:
            if self._take("["):
                kind = self._range(kind)
            elif self._take("offset"):
                self._take("-")
                self._need_kind("length", "a length of time")
            elif self._take("@"):
                self._moment()
            else:
                return kind

    def _range(self, kind: _Kind) -> _Kind:
        if kind is not _Kind.VECTOR:
            self._fail(f"{kind.value} has no ranges")
        self._need_kind("length", "a length of time such as 5m")
        if _STEP.fullmatch(self._next.text):
            self._at += 1
            if self._next.kind == "length":
                self._at += 1
        self._need("]")
        return _Kind.RANGE

    def _moment(self) -> None:
        if self._take("start", "end"):
            self._need("(")
            self._need(")")
        else:
            self._take("-", "+")
            self._need_kind("number", "a time")

    def _aggregation(self) -> _Kind:
        if has_names := self._take("by", "without"):
            self._names()
        for kind in self._arguments():
            if kind is _Kind.RANGE:
                raise InputError("a range vector cannot be aggregated; take rate or increase of it first")
        if not has_names and self._take("by", "without"):
            self._names()
        return _Kind.VECTOR

    def _call(self, name: str) -> _Kind:
        if name not in _OF_RANGES | _OF_VECTORS:
            hint = nearest(name, sorted(_OF_RANGES | _OF_VECTORS | _AGGREGATIONS)) or ""
            raise InputError(f"there is no function {name}" + (f"; {hint}" if hint.startswith("did") else ""))
        kinds = self._arguments()
        if name in _OF_RANGES and _Kind.RANGE not in kinds:
            raise InputError(f"{name} needs a range, such as {name}(requests_total[5m])")
        if name in _OF_VECTORS and _Kind.RANGE in kinds:
            raise InputError(f"{name} cannot take a range vector")
        return _Kind.NUMBER if name in _SCALARS else _Kind.VECTOR

    def _arguments(self) -> list[_Kind]:
        kinds: list[_Kind] = []
        self._need("(")
        while not self._take(")"):
            if kinds:
                self._need(",")
            kinds.append(self.expression())
        return kinds

    def _names(self) -> None:
        self._need("(")
        while not self._take(")"):
            token = self._next
            if token.kind != "string" and not _NAME.fullmatch(token.text):
                self._fail("the name of a label is missing")
            self._at += 1
            if self._next.text != ")":
                self._need(",")

    def _matchers(self, *, named: bool) -> None:
        self._need("{")
        count = 0
        while not self._take("}"):
            token = self._next
            is_text = token.kind == "string"
            if not is_text and not _NAME.fullmatch(token.text):
                self._fail("the name of a label is missing")
            self._at += 1
            if self._take("=", "!=", "=~", "!~"):
                self._need_kind("string", "a quoted text")
            elif not is_text:
                self._fail("one of =, !=, =~ and !~ is missing")
            count += 1
            if self._next.text != "}":
                self._need(",")
        if not named and not count:
            raise InputError("a selector needs a metric or a matcher")
