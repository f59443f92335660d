"""Questions to language models behind HTTP: requests, retries, limits, and a cache of answers."""
