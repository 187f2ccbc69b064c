"""Temporary stand-in until the real runner is here."""
from __future__ import annotations
import importlib
import asyncio
from jobqueue.job import Completed
_cache = {}
class JobRun:
    __slots__ = ("job",)
    stuck = False
    def __init__(self, job, settings, report):
        self.job = job
    async def run(self):
        f = _cache.get(self.job.function)
        if f is None:
            m, _, n = self.job.function.rpartition(".")
            f = _cache[self.job.function] = getattr(importlib.import_module(m), n)
        return Completed(await f(*self.job.args))
