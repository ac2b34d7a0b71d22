"""Images at rest, and which of them boots."""
