"""What is on disk: the state directory, durable files, the SQLite database."""
