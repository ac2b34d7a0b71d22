"""``spsd doctor``: facts about an installation, and the findings that follow from them."""
