"""HTTP to origins, by aiohttp."""
