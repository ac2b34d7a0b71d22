"""The decisions of a transfer, pure: what to request, what a response means, when to try again."""
