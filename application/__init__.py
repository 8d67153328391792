"""What can be asked of the system? One file per use case."""
