"""Watched settings of resources: which columns, what a change of them means, and who made it. Pure.

`values` holds what is remembered, `events` and `authors` who changed it, `meaning` and its neighbours what each change
comes to, `compare` the whole of it.
"""
