"""What was stored, looked at again: backtests of rules over recorded ticks."""
