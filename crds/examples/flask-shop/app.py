"""A small film shop. Each page shows films and a list "Recommended for you" from the sidecar."""

import os
import pathlib

import flask

import catalogue
import recommendations

FILMS = catalogue.read(pathlib.Path(os.environ.get("FILMS", pathlib.Path(__file__).parent / "films.csv")))
# Customers to choose from. A real shop knows its customer from a login.
CUSTOMERS = ("c-1001", "c-1002", "c-1003", "c-1004")
RECOMMENDED = 5
# The last films that a session looked at; more would describe the customer of last week.
VIEWED_MAX = 6
COOKIE = {"httponly": True, "samesite": "Lax", "max_age": 24 * 3600}
ABOUT = {
    "model": "Based on what you bought.",
    "fold-in": "Based on the films you looked at.",
    "popular": "What other customers buy.",
    "last-answer": "What we recommended to you before.",
}

app = flask.Flask(__name__)


@app.get("/")
def shop():
    """All films by genre."""
    return flask.render_template("shop.html", genres=catalogue.by_genre(FILMS), **common(viewed()))


@app.get("/film/<film_id>")
def film(film_id: str):
    """A film, which the session then has looked at."""
    found = FILMS.get(film_id) or flask.abort(404)
    films = [*(other for other in viewed() if other != film_id), film_id][-VIEWED_MAX:]
    response = flask.make_response(flask.render_template("film.html", film=found, **common(films)))
    response.set_cookie("viewed", ".".join(films), **COOKIE)
    return response


@app.post("/customer")
def choose_customer():
    """Changes the customer, and begins a session without looked at films."""
    chosen = flask.request.form.get("customer", "")
    response = flask.redirect(flask.url_for("shop"), 303)
    response.set_cookie("customer", chosen if chosen in CUSTOMERS else "", **COOKIE)
    response.delete_cookie("viewed")
    return response


@app.get("/healthz")
def healthz():
    """Whether the shop runs; it does so without recommendations."""
    return "ok\n", {"content-type": "text/plain"}


@app.after_request
def restrict(response: flask.Response) -> flask.Response:
    """Pages load nothing from elsewhere."""
    response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def common(films: list[str]) -> dict:
    """What every page shows: the customer and the recommendations."""
    chosen = flask.request.cookies.get("customer", "")
    customer = chosen if chosen in CUSTOMERS else None
    answer = recommendations.recommend(customer, films, RECOMMENDED)
    recommended = [(FILMS[item.id], item.source) for item in answer.items if item.id in FILMS]
    about = ABOUT.get(recommended[0][1], "") if recommended else ""
    return {
        "customer": customer,
        "customers": CUSTOMERS,
        "recommended": recommended,
        "degraded": answer.degraded,
        "about": about,
    }


def viewed() -> list[str]:
    """The films that this session looked at; the cookie is the browser's, so it is checked."""
    ids = flask.request.cookies.get("viewed", "").split(".")
    return [film_id for film_id in ids if film_id in FILMS][-VIEWED_MAX:]
