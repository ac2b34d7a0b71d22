"""Middlewares, for all requests: connections, errors, authentication, paths."""
