"""Recommendations from the sidecar of Recmesh, which answers at RECMESH_URL.

No failure of it is one of the shop: every one of them is an answer without items.
"""

import dataclasses
import http.client
import json
import logging
import os
import urllib.request

# The sidecar answers within this time, with what it keeps if no serving pod does.
TIMEOUT_MS = 300
# The wait for the sidecar itself. It is longer, so that the sidecar's own answer arrives.
WAIT_SECONDS = 1.0
# A list has a few hundred bytes for each film.
ANSWER_BYTES_MAX = 64 * 1024

# The user of requests that know neither a customer nor films: an unknown user gets popular ones.
VISITOR = "visitor"

log = logging.getLogger(__name__)
# RECMESH_URL is an address of the pod: a proxy in the environment does not apply.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclasses.dataclass(frozen=True)
class Item:
    """A recommended film, and where it comes from: model, fold-in, popular or last-answer."""

    id: str
    source: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """Recommended films. A degraded answer is one without a serving pod."""

    items: tuple[Item, ...] = ()
    degraded: bool = True


def recommend(customer: str | None, viewed: list[str], n: int) -> Answer:
    """Films for a customer, or for the films that were looked at in this session."""
    question: dict = {"n": n}
    if viewed:
        question["history"] = [{"item": film} for film in viewed]
    if customer or not viewed:
        question["user"] = customer or VISITOR
    try:
        return parse(post("/recommend", question))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        log.warning("no recommendations: %s", error)
        return Answer()


def post(path: str, question: dict) -> bytes:
    """The body of the answer to a question."""
    url = os.environ.get("RECMESH_URL")
    if not url:
        raise OSError("RECMESH_URL is not set; is the pod labelled recmesh.dev/inject?")
    headers = {"content-type": "application/json", "x-request-timeout-ms": str(TIMEOUT_MS)}
    request = urllib.request.Request(url + path, json.dumps(question).encode(), headers)
    with opener.open(request, timeout=WAIT_SECONDS) as response:
        return response.read(ANSWER_BYTES_MAX)


def parse(body: bytes) -> Answer:
    """The answer in a body."""
    answer = json.loads(body)
    items = tuple(Item(item["id"], item["source"]) for item in answer["items"])
    return Answer(items, bool(answer.get("degraded")))
