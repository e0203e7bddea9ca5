"""``POST /hooks/{name}``: webhooks from outside. Who knows the webhook's secret may; no account is needed."""

from functools import partial
from typing import Any

import orjson
from anyio import to_thread
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analytics.core.clock import utc_now
from analytics.store.engine import async_session_scope
from dashboard.context import get_context
from dashboard.streamlit_options import cookie_secret
from worker.workflow.triggers import Delivery, receive_hook

PATH = "/hooks/{name}"


async def take_hook(request: Request) -> Response:
    """Check a webhook and queue the run it asks for: 202 for a new one, 200 for one known or filtered out."""
    context = get_context()
    body = await request.body()
    # Joined, as HTTP does: of two signatures neither is left out.
    headers = {name.lower(): ", ".join(request.headers.getlist(name)) for name in request.headers}
    installation = await to_thread.run_sync(cookie_secret, context.settings)

    def work(session: Session) -> Delivery:
        return receive_hook(
            session,
            request.path_params["name"],
            body=body,
            headers=headers,
            installation=installation,
            now=utc_now(),
            step=context.settings.worker.priority_step,
        )

    async with async_session_scope(context.async_engine) as session:
        delivery = await session.run_sync(work)
    if delivery.run_id is not None and delivery.is_new:
        await to_thread.run_sync(partial(context.door.wake, [delivery.run_id]))
    return Response(
        orjson.dumps({"run_id": delivery.run_id, "is_new": delivery.is_new}),
        status_code=202 if delivery.is_new else 200,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def routes() -> list[Route]:
    """Return the route."""
    return [Route(PATH, take_hook, methods=["POST"], name="hook")]


def openapi_paths() -> dict[str, Any]:
    """Return the route as the OpenAPI document tells of it."""
    header = {"in": "header", "schema": {"type": "string"}}
    answer = {
        "type": "object",
        "required": ["run_id", "is_new"],
        "properties": {"run_id": {"type": ["string", "null"], "format": "uuid"}, "is_new": {"type": "boolean"}},
    }
    content = {"application/json": {"schema": answer}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    refusals = {
        "401": "The signature is missing, wrong or too old, or there is no such webhook.",
        "409": "The webhook is paused.",
        "413": "The body is larger than 256 KiB.",
        "422": "The body is not JSON, or what is made of it does not fit the workflow.",
        "503": "A part is away; try again.",
    }
    return {
        PATH: {
            "post": {
                "operationId": "take_hook",
                "summary": "Start the run of a webhook.",
                "description": "Needs no account but the webhook's secret: `Helmsight-Signature` is"
                " `t=<unix seconds>,v1=<hex hmac-sha256 of t.body>`, not older than five minutes."
                " GitHub's `X-Hub-Signature-256` is taken, too.",
                "tags": ["hooks"],
                "security": [],
                "parameters": [
                    {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "Helmsight-Signature", "required": False, **header},
                    {"name": "X-Hub-Signature-256", "required": False, **header},
                    {
                        "name": "Helmsight-Delivery",
                        "required": False,
                        "description": "Names the delivery, so that one sent again starts nothing twice.",
                        **header,
                    },
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
                "responses": {
                    "200": {
                        "description": "The delivery was there before; without a run: the filter lets it pass by.",
                        "content": content,
                    },
                    "202": {"description": "The run is queued.", "content": content},
                    **{status: {"description": text, "content": problem} for status, text in refusals.items()},
                },
            }
        }
    }
