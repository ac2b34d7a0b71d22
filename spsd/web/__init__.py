"""The REST API: thin handlers over the use cases."""
