"""The API, a process of its own: all routes in one list (``app.py``), one file a noun."""
