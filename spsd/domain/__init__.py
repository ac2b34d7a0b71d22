"""Rules and values: no event loop, no clock, no paths, no input or output."""
