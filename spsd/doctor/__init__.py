"""``spsd doctor``: facts about a state directory, and findings."""
