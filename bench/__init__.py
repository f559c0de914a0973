"""What is measured, against what. `python -m bench` prints each figure with the command that makes it."""
