"""What a run leaves: rows, the folder they are kept in, its summary, and trackers told of both."""
