"""From a URL to a verified partial file. It knows no job."""
