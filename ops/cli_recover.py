"""`ninebell recover`: the command for the hour after a restore from backup."""

from ops.settings import read_settings


def recover(*, restored_to: str, dry_run: bool = False, json: bool = False) -> int:
    """After a restore from backup, and before any worker runs: what may have been sent since is in doubt, and not sent again.

    Refused while a dispatcher or worker is alive on the database. Stopped half
    way, it goes on where it is run again, and nothing is sent before that.

    For example:
      ninebell recover --restored-to 2027-05-15T03:00:00Z --dry-run
      ninebell recover --restored-to 2027-05-15T03:00:00Z

    Parameters
    ----------
    restored_to
        The instant up to which the database has everything; what came later is lost.
    dry_run
        Count, and change nothing.
    json
        Print it as JSON.
    """
    from ops.recover import recover as bring_back

    return bring_back(read_settings(), restored_to, dry_run=dry_run, as_json=json)
