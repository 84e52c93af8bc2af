"""Reductions: each with its float64 reference and its CPU form."""
