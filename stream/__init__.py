"""The ground: what flows and how. No kernel, no sink, no web."""
