"""Tests of the shop with real sidecars: one that serves a model of purchases.csv, and one alongside the app.

usage: RECMESH_SIDECAR=target/debug/recmesh-sidecar python3 test_app.py
"""

import contextlib
import csv
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import unittest.mock
import urllib.request

import app

HERE = pathlib.Path(__file__).parent
SIDECAR = os.environ["RECMESH_SIDECAR"]
# How long a process may take to start, and the sidecar to learn the popular items.
WAIT_SECONDS = 60


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what: str, condition) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {WAIT_SECONDS} s")
        time.sleep(0.05)


def succeeds(url: str) -> bool:
    """Whether a URL returns a 2xx status."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
        return True
    return False


class Shop(unittest.TestCase):
    """The page in the states of the sidecars."""

    def setUp(self) -> None:
        directory = self.enterContext(tempfile.TemporaryDirectory())
        self.log = open(pathlib.Path(directory) / "log", "wb")
        self.addCleanup(self.log.close)
        model = str(pathlib.Path(directory) / "model.safetensors")
        columns = ["--user", "customer", "--item", "film"]
        items = ["--items", str(HERE / "films.csv"), "--items-id", "film", "--items-available", "in_stock"]
        train = [SIDECAR, "train", str(HERE / "purchases.csv"), *columns, *items, "--factors", "8", "--output", model]
        subprocess.run(train, check=True, stdout=self.log, stderr=self.log)
        self.app_port, self.admin_port, self.proxy_port, self.proxy_admin_port = (free_port() for _ in range(4))
        listen = [f"--listen=127.0.0.1:{self.app_port}", f"--admin-listen=127.0.0.1:{self.admin_port}"]
        self.serving = self.start("serve", "--model", model, *listen)
        wait_for("the model serves", lambda: succeeds(f"http://127.0.0.1:{self.admin_port}/readyz"))
        listen = [f"--listen=127.0.0.1:{self.proxy_port}", f"--admin-listen=127.0.0.1:{self.proxy_admin_port}"]
        target = ["--recommender=films", "--namespace=shop", f"--upstream=127.0.0.1:{self.app_port}"]
        self.proxy = self.start("proxy", *target, *listen)
        wait_for("the sidecar listens", lambda: succeeds(f"http://127.0.0.1:{self.proxy_admin_port}/readyz"))
        self.enterContext(unittest.mock.patch.dict(os.environ, {"RECMESH_URL": f"http://127.0.0.1:{self.proxy_port}"}))
        self.client = app.app.test_client()

    def start(self, *arguments: str) -> subprocess.Popen:
        """A process of the sidecar, which ends with the test."""
        process = subprocess.Popen([SIDECAR, *arguments], stdout=self.log, stderr=self.log)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen) -> None:
        """Ends a process at once."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def page(self, path: str = "/") -> str:
        """A page, which always exists."""
        response = self.client.get(path)
        self.assertEqual(response.status_code, 200)
        return response.text

    def recommended(self, page: str) -> dict[str, str]:
        """The recommended films of a page, with their sources."""
        return dict(re.findall(r'data-film="([^"]+)" data-source="([^"]+)"', page))

    def test_a_customer_sees_films_of_the_model_that_are_new_and_in_stock(self):
        """The purchases are those of the file."""
        self.client.post("/customer", data={"customer": "c-1003"})
        recommended = self.recommended(self.page())
        self.assertEqual((len(recommended), set(recommended.values())), (app.RECOMMENDED, {"model"}))
        with open(HERE / "purchases.csv", encoding="utf-8", newline="") as rows:
            bought = {row["film"] for row in csv.DictReader(rows) if row["customer"] == "c-1003"}
        self.assertFalse(bought & set(recommended), recommended)
        self.assertNotIn("zodiac", recommended)

    def test_looked_at_films_are_the_history_of_the_session(self):
        """They are not recommended themselves."""
        self.assertEqual(set(self.recommended(self.page()).values()), {"popular"})
        for film in ("airplane", "duck-soup", "no-such-film"):
            self.client.get(f"/film/{film}")
        recommended = self.recommended(self.page())
        self.assertEqual(set(recommended.values()), {"fold-in"})
        self.assertFalse({"airplane", "duck-soup"} & set(recommended))
        best = next(iter(recommended))
        self.assertEqual(app.FILMS[best].genre, "Comedy")
        self.client.post("/customer", data={"customer": "nobody"})
        self.assertEqual(set(self.recommended(self.page()).values()), {"popular"})

    def test_without_a_serving_pod_the_page_shows_the_last_answer_and_says_so(self):
        """The page shows what the customer saw before."""
        self.client.post("/customer", data={"customer": "c-1002"})
        before = self.page()
        self.assertNotIn("not available", before)
        self.end(self.serving)
        after = self.page()
        self.assertIn("New recommendations are not available at the moment.", after)
        self.assertEqual(list(self.recommended(after)), list(self.recommended(before)))
        self.assertEqual(set(self.recommended(after).values()), {"last-answer"})

    def test_without_a_sidecar_the_page_shows_all_films(self):
        """Also without the variable, and with a server that answers something else."""
        self.end(self.proxy)
        for url in (os.environ["RECMESH_URL"], "", f"http://127.0.0.1:{self.admin_port}"):
            with unittest.mock.patch.dict(os.environ, {"RECMESH_URL": url}):
                page = self.page()
            self.assertIn("Recommendations are not available at the moment.", page)
            self.assertEqual(self.recommended(page), {})
            for film in app.FILMS.values():
                self.assertIn(f'href="/film/{film.id}"', page)


if __name__ == "__main__":
    unittest.main()
