"""Proves, link by link, that every data set a Dataproc job exports to S3 is protected as it must be."""

__version__ = "0.1.0"
