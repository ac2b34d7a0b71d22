"""Middlewares, for all requests: the client, authentication, errors, the audit trail, paths."""
