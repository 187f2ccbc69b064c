"""asyncio workers: they claim jobs from the queue and run them; they never talk HTTP and never import `server`."""
