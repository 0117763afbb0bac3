"""Measurements, printed as shares of a limit. They judge nothing: read them, and compare them within one run."""
