"""Where the steps of the correlation run: the same text on every engine."""
