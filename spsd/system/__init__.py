"""The operating system: systemd, the log, the host, threads, programs, certificates."""
