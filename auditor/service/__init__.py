"""The service: slots that are due, one instance that leads, a child process for each run, and what is shown of it.

`instance` decides, from the ledger and two clocks that are handed in; `serve` rings, runs and listens; `watch` is the
second unit, which only reads.
"""
