"""Extension of schemathesis for the application port: makes valid requests that reach the model."""

from itertools import cycle, islice

import schemathesis
from schemathesis import GenerationMode

# Users and items of the model that the test trains.
USERS = [f"user{number}" for number in range(60)]
ITEMS = [f"item{number}" for number in range(20)]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts ids of the model into valid requests."""
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.body = with_catalogue(known(case.body))
        if case.media_type == "application/x-www-form-urlencoded":
            complete(case.body)


def known(value, field=None):
    """Replaces every second id by one of the model; the others stay as generated."""
    if isinstance(value, dict):
        return {name: known(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [known(entry, field) for entry in value]
    ids = {"user": USERS, "user_id": USERS, "item": ITEMS, "exclude": ITEMS, "candidates": ITEMS}.get(field)
    if ids is None or not isinstance(value, (str, int)):
        return value
    number = sum(str(value).encode())
    return value if number % 2 else ids[number // 2 % len(ids)]


def with_catalogue(body):
    """Puts columns of the catalogue into conditions, and the cursor of the first page into pages."""
    if not isinstance(body, dict):
        return body
    if body.get("where"):
        body["where"] = {"genre": ["comedy"], "price": {"max": 15}}
    for field in [field for field in body if field.startswith("where.")]:
        del body[field]
        body["where.genre"] = "comedy"
    if "cursor" in body:
        body["cursor"] = "*"
    for request in body.get("requests") or []:
        with_catalogue(request)
    return body


def complete(form):
    """Replaces items, too, and sends a rating for each: a rule that no schema can express."""
    items = [known(item, "item") for item in form["items"].split(",")] if form.get("items") else []
    if items:
        form["items"] = ",".join(items)
    if "ratings" in form:
        ratings = list(islice(cycle(form.pop("ratings").split(",")), len(items)))
        if any(ratings):
            form["ratings"] = ",".join(ratings)
