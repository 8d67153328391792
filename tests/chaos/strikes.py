"""How does each fault strike? Each blocks from its beginning to its end."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from tests.chaos.in_append import stop_in_append
from tests.chaos.provider import Behaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.scene import Scene
    from tests.e2e.processes import Program

    Strike = Callable[[Scene], None]

WELL: Final = Behaviour()
CATCH_SECONDS: Final = 10.0
LOST_WITH_THE_DATABASE: Final = 500
"""Messages delivered between the backup and the end of the server it was made of, at least."""


def killed(*roles: str) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            victims = [scene.one(role) for role in roles]
            for victim in victims:
                scene.kill(victim)
        for victim in victims:
            scene.start_again(victim)

    return strike


def two_killed(scene: Scene) -> None:
    """Any two."""
    two = scene.dice.sample(scene.programs, 2)
    scene.notes.append("killed: " + " and ".join(program.words[1] for program in two))
    with scene.stricken():
        for program in two:
            scene.kill(program)
    for program in two:
        scene.start_again(program)


def database_restarted(mode: Literal["fast", "immediate"], away_seconds: float = 0) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            scene.database.stop(mode)
            scene.hold(away_seconds)
            scene.database.start()

    return strike


def database_frozen(seconds: float) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            scene.database.freeze()
            scene.hold(seconds)
            scene.database.thaw()

    return strike


def broker_restarted(away_seconds: float = 0) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            scene.broker.stop()
            scene.hold(away_seconds)
            scene.broker.start()

    return strike


def broker_wiped(scene: Scene) -> None:
    with scene.stricken():
        scene.broker.kill()
        scene.broker.wipe()
        scene.broker.start()


def provider_is(behaviour: Behaviour, seconds: float) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            scene.behave(behaviour)
            scene.hold(seconds)
            scene.behave(WELL)

    return strike


def provider_down(seconds: float) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            scene.provider.kill()
            scene.hold(seconds)
            scene.start_provider()

    return strike


def frozen(role: str, seconds: float) -> Strike:
    """At any moment."""

    def strike(scene: Scene) -> None:
        program = scene.one(role)
        with scene.stricken():
            program.send(signal.SIGSTOP)
            scene.hold(seconds)
            program.send(signal.SIGCONT)

    return strike


def frozen_in_append(role: str, seconds: float, stop: Callable[[str, Program, float], bool] = stop_in_append) -> Strike:
    """With the lock of a log in its hands; or as `stop` says."""

    def strike(scene: Scene) -> None:
        program = scene.leader(role) if role in scene.stage.standing_by else scene.one(role)
        with scene.stricken():
            assert stop(scene.database.dsn, program, CATCH_SECONDS), f"no append was caught within {CATCH_SECONDS:.0f} s"
            scene.hold(seconds)
            program.send(signal.SIGCONT)

    return strike


def broker_connections_frozen(scene: Scene) -> None:
    """The workers': for ever, but for new ones."""
    with scene.stricken():
        scene.wire.strand()


def database_disk_full(seconds: float) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            scene.database.fill()
            scene.hold(seconds)
            scene.database.make_room()
            scene.database.start()

    return strike


def restored_backup(scene: Scene) -> None:
    """As docs/operating.md says: dispatcher and workers are stopped, here by kill -9, and the others left alone."""
    backed_up_at = datetime.now(UTC)
    scene.database.back_up()
    scene.until_delivered(scene.delivered() + LOST_WITH_THE_DATABASE)
    stopped = [*scene.all("dispatcher"), *scene.all("worker")]
    with scene.stricken():
        for program in stopped:
            scene.kill(program)
        scene.database.stop("immediate")
        scene.database.restore()
        scene.database.start()
        recover = scene.site.run("recover", "--restored-to", backed_up_at.isoformat())
        assert recover.ended() == 0, recover.logged
        for program in stopped:
            scene.start_again(program).says("running:")


def clock_stepped(by: timedelta) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            scene.clock.step(by)

    return strike


def joined_by(*roles: str) -> Strike:
    def strike(scene: Scene) -> None:
        with scene.stricken():
            for role in roles:
                scene.start(role).says("running:")

    return strike
