"""Installed images, and the choice of the one that boots."""
