"""Partial files on disk."""
