"""Storage: the state directory, durable files, and the SQLite database."""
