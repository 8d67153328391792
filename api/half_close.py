"""What if a client ends its half of the connection before it was answered? Then it is still there to be told."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HearsOut(HttpToolsProtocol):
    """uvicorn's protocol, which takes half a connection's end for its whole, and so could never answer 400 to half an upload."""

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the other half open for an answer that is owed; a request that was cut short is marked so."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return None
        cycle.keep_alive = False
        if cycle.more_body:
            cycle.scope.setdefault("state", {})["broken_off"] = True
            cycle.more_body = False
            cycle.message_event.set()
        return True
