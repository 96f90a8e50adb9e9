"""The README's examples run as they stand, and its commands are the ones that are tested."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(example, tmp_path):
    if "mm.learn" in example:
        pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # A comment behind a print says what is printed, before a colon.
    promised = re.findall(r"^print\(.*\) +# (.*)$", example, re.MULTILINE)
    lines = done.stdout.splitlines()
    assert len(lines) >= len(promised)
    for line, words in zip(lines, promised, strict=False):
        assert line == words.split(":")[0]


def test_the_tests_are_run_by_the_command_in_the_readme():
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_pictures_are_there():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file()
