"""The life of a download job: its states, its row, its run."""
