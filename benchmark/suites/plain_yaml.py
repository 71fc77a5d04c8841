"""YAML as suites need it: plain values, within limits. Imports no torch."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

_DEEPEST = 30
_MOST = 10_000  # values, with those of aliases as often as they stand
_LARGEST = 2**63
_TAG = "tag:yaml.org,2002:"
_KINDS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
_VALUES = (f"{_TAG}bool", f"{_TAG}int", f"{_TAG}float")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def parse_yaml(text: str) -> Any:
    """Return a value of mappings, lists, texts, numbers of 64 bits, booleans and None.

    A date is a text.

    Raises:
        YAMLError: it is no YAML, or beyond the limits; one line with the place.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise yaml.YAMLError(f"{place}not YAML of a suite: {error.problem}") from None
    except yaml.YAMLError as error:
        raise yaml.YAMLError(f"not YAML of a suite: {str(error).splitlines()[0]}") from None


class _Loader(yaml.SafeLoader):
    """Counts nodes, those below an alias too, before anything is made of them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._count = 0, 0
        self._sizes: dict[yaml.Node | None, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        before, alias = self._count, self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ComposerError(None, None, f"nested deeper than {_DEEPEST}", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        # An alias of what it is in has no size yet: it would never end.
        self._count += self._sizes.get(node, _MOST) if alias else 1
        if self._count > _MOST:
            raise ComposerError(None, None, f"more than {_MOST:,} values", mark)
        self._sizes[node] = self._count - before
        return node

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and _UNPRINTABLE.search(value):
            raise ConstructorError(None, None, "a control character", node.start_mark)
        return value

    def construct_value(self, node: yaml.Node) -> Any:
        with contextlib.suppress(KeyError, ValueError, OverflowError):
            value = yaml.SafeLoader.yaml_constructors[node.tag](self, node)
            if abs(value) < _LARGEST:  # neither is NaN
                return value
        raise ConstructorError(None, None, "a number beyond 64 bits, or none", node.start_mark)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0].removeprefix(_TAG) in _KINDS]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: _Loader.construct_value if tag in _VALUES else constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in _KINDS
}
