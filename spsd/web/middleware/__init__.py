"""What every request passes through: connections, errors, authentication, paths."""
