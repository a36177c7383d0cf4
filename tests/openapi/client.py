"""A client that openapi-python-client has generated, against a real server: create, post, batch, list, read,
retry, verify. Usage: client.py URL TOKEN, with the directory of the generated package in PYTHONPATH."""

import sys
import time

from postrider_client import AuthenticatedClient
from postrider_client.api.deliveries import get_delivery, list_all_deliveries, list_deliveries, retry_delivery
from postrider_client.api.events import get_event, list_events, post_event, post_events
from postrider_client.api.jobs import get_job, list_jobs, recover_webhook, replay_event, retry_deliveries
from postrider_client.api.operations import list_activity
from postrider_client.api.statistics import get_all_stats, get_health, list_event_types
from postrider_client.api.webhooks import (
    change_webhook, create_webhook, delete_webhook, get_verification, get_webhook, list_webhooks,
    rotate_webhook_secret, test_webhook, verify_signature,
)
from postrider_client.models import (
    BulkRetry, Errors, EventBatch, EventInput, Recover, Replay, RotateSecret, WebhookEndpointChange,
    WebhookEndpointInput, WebhookTest, WebhookVerify,
)

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2], raise_on_unexpected_status=True)


def call(operation, status, *args, **kwargs):
    response = operation.sync_detailed(*args, client=client, **kwargs)
    assert response.status_code == status, f"{operation.__name__}: {response.status_code} {response.content!r}"
    return response.parsed


def until(what, read):
    """Asks again until `read` gives something."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = read()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come")


# Two webhooks: the built-in receiver, and a port where nobody listens.
hook = call(create_webhook, 201, body=WebhookEndpointInput.from_dict({
    "url": "http://echo.postrider.invalid/", "events": ["license.*"], "encrypted": False,
    "headers": {"X-Team": "billing", "X-Token": {"value": "hidden", "secret": True}},
})).data
assert hook.type_.value == "webhook_endpoint" and hook.attributes.signing_secret.startswith("whsec_")
assert hook.attributes.headers["X-Token"].value == "********"
closed = call(create_webhook, 201, body=WebhookEndpointInput(
    url="http://127.0.0.1:9/", events=["user.*"], name="closed", retry_schedule=[])).data
hook_id, closed_id = hook.id, closed.id

# Post and batch.
event = EventInput(event_type="license.assigned", payload={"license": "L-1"}, resource_id="L-1")
posted = call(post_event, 202, body=event, idempotency_key="python-1").data
assert posted.type_.value == "event"
assert call(post_event, 202, body=event, idempotency_key="python-1").data.id == posted.id
batch = call(post_events, 202, body=EventBatch(events=[
    EventInput(event_type="license.released", payload=None),
    EventInput(event_type="user.created", payload=[1, 2.5, "x"]),
])).data
assert [one.attributes.event_type for one in batch] == ["license.released", "user.created"]

# List.
delivered = until("deliveries", lambda: [
    row for row in call(list_deliveries, 200, hook_id).data if row.attributes.status.value == "delivered"
][1:] and call(list_deliveries, 200, hook_id).data)
exhausted = until("a failure", lambda: [
    row for row in call(list_all_deliveries, 200, endpoint_id=closed_id).data
    if row.attributes.status.value == "exhausted"
])
assert exhausted[0].attributes.error_kind.value == "connect" and exhausted[0].attributes.endpoint_name == "closed"
assert {event.id for event in call(list_events, 200).data} >= {posted.id, batch[0].id, batch[1].id}
assert {str(one.id) for one in call(list_webhooks, 200).data} >= {str(hook_id), str(closed_id)}
assert "license.assigned" in {kind.id for kind in call(list_event_types, 200).data}

# Read.
row = call(get_delivery, 200, delivered[-1].id).data
assert row.attributes.event_id == posted.id and row.attributes.error_kind is None
assert row.attributes.request.headers["x-team"] == "billing" and row.attributes.response.status == 200
read = call(get_event, 200, posted.id).data
assert read.attributes.payload == {"license": "L-1"} and read.attributes.attempts[0].status.value == "delivered"
assert not call(get_webhook, 200, hook_id).data.attributes.signing_secret, "shown only once"
assert call(get_health, 200, closed_id).data.attributes.errors[0].error_kind.value == "connect"
assert call(get_all_stats, 200).data.attributes is not None
activity = call(list_activity, 200).data
app_id = next(entry.attributes.app_id for entry in activity if entry.attributes.app_id)
assert call(get_webhook, 200, hook_id, x_app_id=str(app_id)).data.id == hook_id

# Verify.
seen = row.attributes.request
verdict = call(verify_signature, 200, hook_id, body=WebhookVerify.from_dict(
    {"headers": seen.headers.to_dict(), "body": seen.body})).data.attributes
assert verdict.valid and verdict.reason is None and verdict.checks
verdict = call(verify_signature, 200, hook_id, body=WebhookVerify.from_dict(
    {"headers": seen.headers.to_dict(), "body": seen.body + " "})).data.attributes
assert not verdict.valid and verdict.reason is not None, verdict.detail
assert call(get_verification, 200, hook_id).data.attributes.encryption is None

# Change; a body of null and one that is refused.
call(change_webhook, 200, hook_id, body=WebhookEndpointChange(encrypted=True, description=None))
assert call(get_verification, 200, hook_id).data.attributes.encryption.enc == "A256GCM"
call(change_webhook, 200, hook_id, body=WebhookEndpointChange(encrypted=False))
refused = call(change_webhook, 422, hook_id, body=WebhookEndpointChange(url="nowhere"))
assert isinstance(refused, Errors) and refused.errors[0].source.pointer == "/url"
assert call(test_webhook, 200, hook_id, body=WebhookTest()).data.attributes.delivered
assert call(rotate_webhook_secret, 200, hook_id, body=RotateSecret(overlap="1h")).data.attributes.signing_secret

# Retry one, many, and what an event or a webhook has missed.
again = call(retry_delivery, 202, exhausted[0].id).data
assert again.attributes.trigger.value == "manual" and again.attributes.status.value == "pending"
until("the second failure", lambda: call(get_delivery, 200, again.id).data.attributes.status.value == "exhausted")
many = {"filter": {"status": ["exhausted"], "error_kind": "connect", "response_status": None}}
assert call(retry_deliveries, 202, body=BulkRetry.from_dict(many | {"dry_run": True})).data.id is None
job = call(retry_deliveries, 202, body=BulkRetry.from_dict(many)).data
assert job.attributes.kind.value == "retry"
until("the end of the job", lambda: call(get_job, 200, job.id).data.attributes.status.value == "done")
call(replay_event, 202, posted.id, body=Replay(webhook_id=hook_id))
call(recover_webhook, 202, closed_id, body=Recover.from_dict({"since": "2026-01-01T00:00:00Z"}))
assert len(call(list_jobs, 200).data) >= 3

for id in (hook_id, closed_id):
    call(delete_webhook, 204, id)
call(get_webhook, 404, hook_id)
print("the Python client works")
