"""Calls that may never return, with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_background(function: Callable[[], T]) -> Future[T]:
    """Call a function in a thread of its own that nobody has to wait for, even at the end."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is the caller's, with the future
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what a function returns.

    Raises:
        TimeoutError: it takes longer; it goes on in its thread.
    """
    return in_background(function).result(timeout=seconds)
