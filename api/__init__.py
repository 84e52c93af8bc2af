"""Faces of the service: settings, command line, HTTP, dashboard."""
