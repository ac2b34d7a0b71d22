"""One foreign thing each: the database, the network, the disk, the service manager."""
