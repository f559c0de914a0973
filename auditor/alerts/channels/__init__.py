"""One module per kind of receiver: `Settings`, and `channel(settings, out)` that returns what sends."""
