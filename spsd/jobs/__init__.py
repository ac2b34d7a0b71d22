"""Download jobs: their states, their rows, and the tasks that run them."""
