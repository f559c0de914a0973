"""The seven links, each judged by its row of links.md: proven, broken, unknown, pending or not required.

Pure functions over `Evidence` and one `Case`. No state but `proven` counts as good, and what was not seen is
`unknown`, never `pending` and never `broken`.
"""
