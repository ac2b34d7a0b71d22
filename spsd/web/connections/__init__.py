"""The connections of clients: how they are accepted, bounded and closed, and what they speak."""
