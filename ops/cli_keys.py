"""`ninebell keys`: the commands about who may call the HTTP API."""

from cyclopts import App

from ops.settings import read_settings

keys = App(name="keys", help="The key of the HTTP API.")


@keys.command(name="reset")
def reset() -> int:
    """Make a new API key in the place of the one there is, and print it, this once.

    Whoever calls with the one before is refused within ten seconds.
    NINEBELL_API_KEY counts at the first start alone, and does not matter here.

    For example:
      ninebell keys reset
      export NINEBELL_API_KEY=$(ninebell keys reset)
    """
    from ops.keys import reset_key

    return reset_key(read_settings())
