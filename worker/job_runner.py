"""One execution of one claimed job: find what it runs, run it, stop it when asked, come to a verdict.

Three ways to run: plain coroutine functions inside the present task (`InlineCall`), job types of mode `async` and plain
functions in threads beside it (`TaskCall`), whatever has the mode `process` in a child (`ProcessJob`).
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from jobqueue.config import JobTypeSettings, Settings
from jobqueue.errors import QueueUnavailable
from jobqueue.job import Claimed, Failed, Halted, Outcome, Progress, Released
from jobqueue.logs import job_fields
from jobqueue.stock import StockJobs, StoredJob
from worker.child_log import ChildLog
from worker.context import PermanentError
from worker.job_context import Context, JobFacts, url_rules
from worker.loop_calls import GIVEN_UP, InlineCall, TaskCall
from worker.plain_call import NOT_SENDABLE, call_for
from worker.process_job import ProcessJob, assignment_for
from worker.progress import ProgressThrottle
from worker.resolve import JobFunction, PlainFunction, job_function, method, plain_function, validated
from worker.stock_call import StockCall, as_retry, needs_stock
from worker.stopping import Stoppable
from worker.verdicts import CANCELLED_ITSELF, plain_outcome, type_outcome
from worker.wording import fault_of

log = logging.getLogger(__name__)

Found = TypeVar("Found")


class JobRun(Stoppable):
    """`report` is called in the event loop, and not after `run` has returned."""

    __slots__ = ("_notes", "_report", "_stock", "_stock_jobs")

    def __init__(
        self,
        job: Claimed,
        settings: Settings,
        report: Callable[[Progress], None],
        stock_jobs: StockJobs | StoredJob | None = None,
    ) -> None:
        super().__init__(job, settings)
        self._report = report
        self._notes: ProgressThrottle | None = None
        self._stock_jobs = stock_jobs
        self._stock: StockCall | None = None

    async def run(self) -> Outcome | None:
        """None: write nothing, the job is no longer ours. Raises CancelledError only."""
        try:
            outcome = await guarded(self._perform(), self._note_error)
        except asyncio.CancelledError:
            if _task_is_cancelled():
                raise
            outcome = CANCELLED_ITSELF
        finally:
            self._end()
            if self._notes is not None:
                self._notes.close()
        if self._decided:
            return await self._conclude(await self._stock_at_end(), self._verdict)
        return await self._conclude(self._stock, outcome)

    def _note_error(self, error: BaseException) -> None:
        if self._stock is not None:
            self._stock.raised = error

    async def _stock_at_end(self) -> StockCall | None:
        """For a job that was ended before its own code, or in another process, could call back."""
        if self._stock is not None or not (self._job.has_callbacks and isinstance(self._verdict, Failed | Halted)):
            return self._stock
        opened = await guarded(self._open_stock())
        if isinstance(opened, Failed):
            log.warning("a callback was not called: %s", opened.error, extra=job_fields(self._job))
            return None
        return opened

    async def _conclude(self, stock: StockCall | None, verdict: Outcome | None) -> Outcome | None:
        if stock is None:
            return verdict
        verdict = await stock.concluded(verdict)
        self._stuck = self._stuck or stock.stuck
        return verdict

    async def _perform(self) -> Outcome:
        if self._decided:
            return GIVEN_UP
        if self._job.decode_error is not None:
            raise PermanentError("DecodeError", self._job.decode_error)
        kind = self._settings.job_types.get(self._job.job_type)
        if kind is None:
            return await self._run_plain()
        return await (self._run_process(kind) if kind.mode == "process" else self._run_async(kind))

    async def _run_plain(self) -> Outcome:
        if self._settings.worker.function_mode == "process":
            return await self._run_plain_process()
        job = self._job
        function = self._function()
        try:
            stock = await self._open_stock()
        except QueueUnavailable:
            return Released()
        if function.in_loop:
            result = await self._run_inline(function.call(*job.args, **job.kwargs))
        else:
            result = await self._run_in_thread(function.call)
        if stock is not None:
            stock.result = result
        return as_retry(result) or plain_outcome(result, job.serializer)

    async def _run_plain_process(self) -> Outcome:
        jobs = self._stock_jobs
        try:
            stored = await jobs.stored(self._job.job_id) if isinstance(jobs, StockJobs) else None
            call = call_for(self._job, self._settings, stored)
        except QueueUnavailable:
            return Released()
        except NOT_SENDABLE as error:
            raise PermanentError("ArgumentsNotSendable", f"they cannot be pickled for its process: {error}") from None
        process = ProcessJob(call, ChildLog(job_fields(self._job)))
        self._begin(process)
        return await process.wait()

    def _function(self) -> PlainFunction:
        job, worker = self._job, self._settings.worker
        if job.instance is not None:
            return method(job.instance, job.function, worker.allowed_functions)
        return plain_function(job.function, worker.allowed_functions, of_class=worker.pickle == "trusted")

    async def _open_stock(self) -> StockCall | None:
        if self._stock_jobs is None or not needs_stock(self._job):
            return None
        rq_job = await self._stock_jobs.get(self._job.job_id, self._job.serializer)
        self._stock = StockCall(rq_job, self._settings.worker.allowed_functions)
        self._stock.enter()
        return self._stock

    async def _run_inline(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            awaited = coroutine.send(None)
        except StopIteration as done:
            return done.value
        # Only from here on is there anything to stop or to time.
        call = InlineCall(coroutine, awaited, _current_task())
        self._begin(call)
        try:
            return await call
        finally:
            call.settle()

    async def _run_in_thread(self, function: Callable[..., Any]) -> Any:
        body = partial(contextvars.copy_context().run, self._in_thread, function)
        call = TaskCall(asyncio.get_running_loop().run_in_executor(None, body), hears=False)
        self._begin(call)
        return await call.wait()

    def _in_thread(self, function: Callable[..., Any]) -> Any:
        if self._decided:
            return None
        result = function(*self._job.args, **self._job.kwargs)
        # A wrapped coroutine function looks like any other; RQ runs what it returns too.
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    async def _run_async(self, kind: JobTypeSettings) -> Outcome:
        function = job_function(kind.function, kind.parameters)
        if not function.is_async:
            raise PermanentError("FunctionNotAsync", f"{kind.function} must be a coroutine function in mode async")
        parameters = validated(function.parameters, self._parameters())
        self._context = Context(self._facts(kind), self._open_notes().put_from_any_thread)
        body = guarded(_type_call(function, self._context, parameters))
        task = asyncio.get_running_loop().create_task(body, name=f"run-{self._job.job_id}")
        call = TaskCall(task, hears=True)
        self._begin(call)
        return await call.wait()

    async def _run_process(self, kind: JobTypeSettings) -> Outcome:
        try:
            assignment = assignment_for(kind, self._facts(kind), self._parameters())
        except TypeError as error:
            raise PermanentError("InvalidParameters", str(error)) from None
        printed = ChildLog(job_fields(self._job))
        process = ProcessJob(assignment, printed, self._open_notes().put, kind.memory_limit_mb)
        self._begin(process)
        return await process.wait()

    def _parameters(self) -> Any:
        if len(self._job.args) != 2:
            raise PermanentError("InvalidParameters", "the call must be [job_type, parameters]")
        return self._job.args[1]

    def _facts(self, kind: JobTypeSettings) -> JobFacts:
        job, storage = self._job, self._settings.storage
        limit = job.timeout_seconds
        return JobFacts(
            job_id=job.job_id,
            job_type=job.job_type,
            user_id=job.user_id,
            attempt=job.attempt,
            fence=job.fence,
            jobs_dir=str(storage.jobs_dir),
            input_root=str(storage.input_root),
            deadline=None if limit is None else time.monotonic() + limit,
            llm_base_urls=self._settings.llm.base_urls,
            url_rules=url_rules(self._settings.documents),
            processes=kind.processes,
            memory_limit_mb=kind.memory_limit_mb,
        )

    def _open_notes(self) -> ProgressThrottle:
        self._notes = ProgressThrottle(self._job.token, self._report, asyncio.get_running_loop())
        return self._notes


async def guarded(
    steps: Coroutine[Any, Any, Found], on_error: Callable[[BaseException], None] = lambda error: None
) -> Found | Failed:
    """What the steps return, or what they raised in words."""
    try:
        return await steps
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    # Whatever else a job raises is its verdict and must not reach the worker, SystemExit included.
    except BaseException as error:  # noqa: BLE001
        on_error(error)
        return Failed(*fault_of(error))


async def _type_call(function: JobFunction, context: Context, parameters: Any) -> Outcome:
    return type_outcome(await function.call(context, parameters))


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _task_is_cancelled() -> bool:
    """By somebody else: this module takes back its own requests."""
    return _current_task().cancelling() > 0
