"""The operating system: systemd, log, host, threads, programs, certificates."""
