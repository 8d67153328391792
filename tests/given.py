"""given … when … then: the words every story about a decision is told in."""

from collections.abc import Callable
from typing import Any

from domain.errors import Refusal
from domain.event import Event

Evolve = Callable[[Any, Any], Any]


def given(evolve: Evolve, *history: Event) -> "Story":
    """These things have happened."""
    state = None
    for event in history:
        state = evolve(state, event)
    return Story(evolve, state)


class Story:
    """An aggregate with a past, waiting for a decision."""

    def __init__(self, evolve: Evolve, state: Any) -> None:
        self.evolve, self.state = evolve, state

    def when(self, decide: Callable[..., Any], *arguments: Any, **named: Any) -> "Outcome":
        try:
            return Outcome(self, list(decide(self.state, *arguments, **named)), None)
        except Refusal as refusal:
            return Outcome(self, [], refusal)


class Outcome:
    """What was decided: events, or a refusal."""

    def __init__(self, story: Story, events: list[Event], refusal: Refusal | None) -> None:
        self.story, self.events, self.refusal = story, events, refusal

    def then(self, *expected: Event) -> None:
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert self.events == list(expected)

    def then_only(self, kind: type[Event]) -> Any:
        """Exactly one event, of this kind; it is handed back for a closer look."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert [type(event) for event in self.events] == [kind]
        return self.events[0]

    def then_refused(self, kind: type[Refusal]) -> None:
        assert type(self.refusal) is kind, f"not refused so: {self.refusal!r}, {self.events}"

    def state(self) -> Any:
        """The aggregate with what was decided folded in."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        state = self.story.state
        for event in self.events:
            state = self.story.evolve(state, event)
        return state
