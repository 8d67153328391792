"""What can the system tell? One file per read model."""
