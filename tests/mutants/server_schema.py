"""Requests made from /openapi.json by schemathesis, against a server that runs: `make test-schema`.

    python -m tests.mutants.server_schema SCHEMATHESIS [EXAMPLES]

No answer may be a 500; 501 says by name what is not to be had.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.mutants.running_server import RunningServer
from tests.runtime.server.chat_models import THINKS, with_template

CONFIG = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "4xx", "501"]\n'


def main() -> int:
    program, n = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "100"
    short = ("--max-tokens", "8", "--max-n", "2")  # requests are of interest, not answers
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = with_template(Path(folder) / "thinks.gguf", THINKS)
        server = stack.enter_context(RunningServer(str(model), options=short))
        config = Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG, "utf-8")
        command = [
            program, "--config-file", str(config), "run", f"{server.url}/openapi.json",
            "--checks", "not_a_server_error", "--max-examples", n, "--request-timeout", "60",
            "--phases", "coverage,fuzzing",
        ]  # fmt: skip
        return subprocess.run(command, check=False, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main())
