"""A search program in a process of its own: commands and responses are lines of JSON."""

import json
import subprocess
from pathlib import Path


class Search:
    """A started program."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def cpu_seconds(self) -> float:
        """Returns the time that the program's first thread was on a CPU."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def timed(self, **command) -> dict:
        """Sends a command, and adds the CPU time from command to response."""
        before = self.cpu_seconds()
        response = self.send(**command)
        return {**response, "cpu": self.cpu_seconds() - before}

    def send(self, **command) -> dict:
        """Sends a command and returns the response. An error response is raised."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        response = json.loads(self.process.stdout.readline())
        if "error" in response:
            raise RuntimeError(response["error"])
        return response

    def close(self) -> None:
        """Ends the program."""
        self.process.stdin.close()
        self.process.wait()
