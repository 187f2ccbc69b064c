"""http_peers.py fastapi-rq URL | aiohttp-hello: what our server is measured against, each as its makers would write it.

Runs in an environment of its own, so nothing of ours is imported. Says `http://127.0.0.1:PORT` when it listens.
"""

import socket
import sys

HELLO = {"job_id": "0b5c7f3e-2c1d-4a53-9a9e-f3f2f4cf1c3a", "status": "pending", "message": "Job submitted"}


def listener():
    made = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{made.getsockname()[1]}\n")
    sys.stdout.flush()
    return made


def fastapi_rq(url):
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel
    from redis import Redis
    from rq import Queue

    class Submit(BaseModel):
        job_type: str
        user_id: str = "default_user"
        parameters: dict

    class Submitted(BaseModel):
        job_id: str
        status: str
        message: str

    queue = Queue("default", connection=Redis.from_url(url))
    app = FastAPI()

    # rq blocks, so FastAPI runs the handler in its threads.
    @app.post("/submit", status_code=202)
    def submit(body: Submit) -> Submitted:
        job = queue.enqueue(f"jobs.{body.job_type}", body.parameters, meta={"user_id": body.user_id})
        return Submitted(job_id=job.id, status="pending", message="Job submitted")

    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="warning", access_log=False)
    made = listener()
    uvicorn.Server(config).run(sockets=[made])


def aiohttp_hello():
    import uvloop
    from aiohttp import web

    async def hello(_request):
        return web.json_response(HELLO)

    async def serve():
        import asyncio

        app = web.Application()
        app.router.add_get("/hello/{id}", hello)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener()).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


if __name__ == "__main__":
    if sys.argv[1] == "fastapi-rq":
        fastapi_rq(sys.argv[2])
    else:
        aiohttp_hello()
