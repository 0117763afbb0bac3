"""Listening to exchanges: WebSocket streams instead of calls. The event loop, ccxt and aiohttp stay in this package."""
