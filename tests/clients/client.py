"""What a user of a generated Python client does: create a webhook, post, post a batch, list, read, retry, verify."""

import importlib
import os
import time


def load(path, name):
    return getattr(importlib.import_module(f"{os.environ['PACKAGE']}.{path}"), name)


def model(path, name):
    return load(f"models.{path}", name)


def operation(path):
    return load("api." + path, "sync_detailed")


client = load("client", "AuthenticatedClient")(base_url=os.environ["URL"], token=os.environ["TOKEN"])


def call(status, path, *args, **kwargs):
    response = operation(path)(*args, client=client, **kwargs)
    assert response.status_code == status, (path, response.status_code, response.content)
    if status != 204:
        assert response.parsed is not None, f"{path}: the response was not parsed"
    return response.parsed


EventInput = model("event_input", "EventInput")

body = model("webhook_endpoint_input", "WebhookEndpointInput")(
    url="http://echo.postrider.invalid/", events=["license.*"], name="Python"
)
webhook = call(201, "webhooks.create_webhook", body=body).data
assert webhook.attributes.signing_secret.startswith("whsec_")
assert webhook.id in [found.id for found in call(200, "webhooks.list_webhooks").data]

event = EventInput(event_type="license.assigned", payload={"seats": 5})
posted = call(202, "events.post_event", body=event, idempotency_key="python-1").data
assert call(202, "events.post_event", body=event, idempotency_key="python-1").data.id == posted.id
batch = model("event_batch", "EventBatch")(
    events=[EventInput(event_type="license.renewed", payload=1), EventInput(event_type="license.expired", payload=None)]
)
results = call(202, "events.post_events", body=batch).data
assert [one.attributes.event_type for one in results] == ["license.renewed", "license.expired"]

until = time.monotonic() + 30
while True:
    rows = call(200, "deliveries.list_deliveries", webhook.id).data
    if len(rows) == 3 and all(row.attributes.status == "delivered" for row in rows):
        break
    assert time.monotonic() < until, rows
    time.sleep(0.05)
row = next(row for row in rows if row.attributes.event_id == posted.id)
detail = call(200, "deliveries.get_delivery", row.id).data.attributes
assert detail.response.status == 200
assert call(200, "events.get_event", posted.id).data.attributes.payload == {"seats": 5}
assert "license.assigned" in [one.id for one in call(200, "statistics.list_event_types").data]

again = call(202, "deliveries.retry_delivery", row.id).data
assert again.attributes.trigger == "manual"
filter = model("bulk_retry_filter", "BulkRetryFilter")(event_type="license.*", response_status="5xx")
job = call(202, "jobs.retry_deliveries", body=model("bulk_retry", "BulkRetry")(filter_=filter, dry_run=True)).data
assert (job.id, job.attributes.matched) == (None, 0)

headers = model("webhook_verify_headers", "WebhookVerifyHeaders").from_dict(detail.request.headers.to_dict())
verify = model("webhook_verify", "WebhookVerify")(headers=headers, body=detail.request.body)
assert call(200, "webhooks.verify_signature", webhook.id, body=verify).data.attributes.valid is True
call(204, "webhooks.delete_webhook", webhook.id)
print("the generated Python client works")
