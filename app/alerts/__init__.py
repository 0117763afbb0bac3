"""Alerts: rules over trailing windows, the states they put symbols in, and alerts.txt, where every change is a line."""
