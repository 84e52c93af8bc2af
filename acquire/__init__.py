"""Agents and sources: what runs at the instrument."""
