"""The aiohttp server: HTTP API, long-poll, Server-Sent Events and the background cleanup tasks."""
