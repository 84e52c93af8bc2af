"""octostream: camera frames reduced while they are acquired, durable as OME-Zarr."""

__version__ = "0.1.0"
