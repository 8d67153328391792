"""How do callers that come at the same time share one commit, each with its own answer?"""

from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Generic, TypeVar

from application.ports import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")


class _Share(Generic[T, R]):
    """One caller's part."""

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.results: Sequence[R] | None = None
        self.error: BaseException | None = None
        self.woken = Event()  # served, or next to serve

    @property
    def waits(self) -> bool:
        return self.results is None and self.error is None


class SharedCommit(Generic[T, R]):
    """Whoever comes while a commit is under way shares the next: so many commits as the disk takes, not as there are callers.

    Callers are threads that nothing interrupts while they wait. A command on the main thread is its own only caller.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R]], most_items: int) -> None:
        """`commit` answers item by item; it is given up to `most_items`, but always one caller's whole."""
        self._commit = commit
        self._most_items = most_items
        self._waiting: list[_Share[T, R]] = []
        self._mutex = Lock()
        self._served = False  # someone serves; else nobody waits

    def __call__(self, items: Sequence[T]) -> Sequence[R]:
        """Blocks until the caller's items are committed. Raises what `commit` raised for them."""
        mine: _Share[T, R] = _Share(items)
        with self._mutex:
            self._waiting.append(mine)
            waits, self._served = self._served, True
        if waits:
            mine.woken.wait()
        if mine.waits:
            self._serve_next()
        if mine.error is not None:
            raise mine.error
        return mine.results or ()

    def _serve_next(self) -> None:
        """The first who waits, who is us, and who came since. Those served go their ways: only one of the next has to wake."""
        shares = self._next_shares()
        try:
            self._serve(shares)
        finally:
            for share in shares:
                share.woken.set()
            self._hand_over()

    def _hand_over(self) -> None:
        with self._mutex:
            self._served = bool(self._waiting)
            if self._waiting:
                self._waiting[0].woken.set()

    def _next_shares(self) -> list[_Share[T, R]]:
        with self._mutex:
            count, size = 1, len(self._waiting[0].items)
            while count < len(self._waiting) and size + len(self._waiting[count].items) <= self._most_items:
                size += len(self._waiting[count].items)
                count += 1
            shares, self._waiting = self._waiting[:count], self._waiting[count:]
        return shares

    def _serve(self, shares: Sequence[_Share[T, R]]) -> None:
        try:
            results = self._commit([item for share in shares for item in share.items])
        except Exception as error:  # noqa: BLE001 -- it is raised again by every caller whom it concerns
            self._failed(shares, error)
        except BaseException as error:
            for share in shares:
                share.error = StoreUnavailable("the commit was interrupted")
            raise error from None
        else:
            start = 0
            for share in shares:
                share.results = results[start : start + len(share.items)]
                start += len(share.items)

    def _failed(self, shares: Sequence[_Share[T, R]], error: Exception) -> None:
        """One caller's bad item must not hurt the others: each goes again alone. No store is nobody's fault."""
        if len(shares) > 1 and not isinstance(error, StoreUnavailable):
            for share in shares:
                self._serve([share])
        else:
            for share in shares:
                share.error = error
