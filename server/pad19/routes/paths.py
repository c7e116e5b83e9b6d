"""Which route answers which paths."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from pad19.protocol.pattern import PatternTable

from .interface import RouteError
from .table import Route

T = TypeVar("T")


def by_path(routes: Iterable[Route], make: Callable[[Route], T]) -> dict[str, PatternTable[T]]:
    """For each scheme the patterns, and what is made of their routes.

    Raises:
        RouteError: Two of them answer the same paths.
    """
    tables: dict[str, PatternTable[T]] = {}
    added: dict[tuple[str, str], Route] = {}
    for route in routes:
        value = make(route)
        try:
            tables.setdefault(route.scheme, PatternTable()).add(route.pattern, value)
        except ValueError as error:
            other = added[route.scheme, str(error)]
            raise RouteError(
                f"{route.place} cannot be told apart from {other.place}: change the pattern of one of "
                "them, or remove it"
            ) from None
        added[route.scheme, route.pattern.text] = route
    return tables
