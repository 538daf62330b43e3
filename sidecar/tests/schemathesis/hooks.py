"""Extensions of schemathesis for the application port: ids of the model, and rules that no schema can express."""

import re

import schemathesis
from schemathesis import GenerationMode

# Users and items of the model that the test trains.
USERS = [f"user{number}" for number in range(60)]
ITEMS = [f"item{number}" for number in range(20)]

# Rejections of valid documents: numbers that depend on two fields.
INEXPRESSIBLE = [
    r"ratings: \d+ ratings for \d+ items",
    r"requests: \d+ items in total",
]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Replaces generated ids by ids of the model, so that valid requests reach the model. Every second id stays."""
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.body = known(case.body)


def known(value, key=None):
    if isinstance(value, dict):
        return {name: known(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [known(entry, key) for entry in value]
    ids = USERS if key in ("user", "user_id") else ITEMS if key in ("item", "exclude") else None
    if ids is None or not isinstance(value, (str, int)) or isinstance(value, bool):
        return value
    number = sum(str(value).encode())
    return value if number % 2 else ids[number // 2 % len(ids)]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps failures, except rejections by the rules above."""
    rejected = type(failure).__name__ == "RejectedPositiveData"
    return not (rejected and any(re.search(rule, response.text) for rule in INEXPRESSIBLE))
