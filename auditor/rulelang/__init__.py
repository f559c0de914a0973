"""The rule language: from one YAML block to one SQL statement that cannot mistake not seeing for absence."""
