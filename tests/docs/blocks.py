"""Code blocks of the documentation, and how they are run.

graphql   sent to /graphql; a query is asked again until it answers as written, a mutation once
sh        given to one bash; `make serve` is what the test has done already
json      what the block before answers; text ending in … stands for anything that begins so
text      what the block before prints
"""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

import httpx

from tests.loopback import TRUSTS_NOBODY

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS: Final = 30.0
ANYTHING: Final = "…"
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_PLACEHOLDER = re.compile(r"[\w:/.-]*…")
_TOLD_BY = {"json", "text"}


@dataclass(frozen=True, slots=True)
class Block:
    """One block, and the answer written below it."""

    file: str
    line: int
    language: str
    text: str
    expected: str | None = None

    @property
    def label(self) -> str:
        return f"{self.file}:{self.line}"


def documents() -> list[Path]:
    """Every document of the project that people read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("gateways/*/*.md")]
    found += ROOT.glob("examples/*/README.md")
    return sorted(found)


def blocks_of(path: Path) -> Iterator[Block]:
    """The blocks of one document; those that are answers belong to the block before."""
    text = path.read_text(encoding="utf-8")
    waiting: Block | None = None
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["language"] in _TOLD_BY and waiting is not None:
            told = match["text"]
            yield Block(waiting.file, waiting.line, waiting.language, waiting.text, told)
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        name = path.relative_to(ROOT).as_posix()
        waiting = Block(name, line, match["language"], match["text"])
    if waiting is not None:
        yield waiting


def differences(expected: Any, actual: Any, where: str = "$") -> Iterator[str]:
    """Where an answer is not as written."""
    if isinstance(expected, str) and expected.endswith(ANYTHING):
        begins = expected.removesuffix(ANYTHING)
        if begins and not (isinstance(actual, str) and actual.startswith(begins)):
            yield f"{where}: {actual!r} does not begin with {begins!r}"
    elif isinstance(expected, dict) and isinstance(actual, dict):
        if set(expected) != set(actual):
            yield f"{where}: has {sorted(actual)}, written are {sorted(expected)}"
        for name in expected.keys() & actual.keys():
            yield from differences(expected[name], actual[name], f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, pair in enumerate(zip(expected, actual, strict=True)):
            yield from differences(*pair, f"{where}[{index}]")
    elif expected != actual:
        yield f"{where}: {actual!r}, written is {expected!r}"


@dataclass
class Reader:
    """Somebody who works through a document with a gateway of their own.

    `here` replaces addresses and folders of the document by those of this run.
    """

    base: str
    key: str
    here: dict[str, str]
    environment: dict[str, str]
    heard: list[str] = field(default_factory=list)
    """Every text the gateway answered so far: what placeholders stand for."""
    complaints: IO[str] = field(default_factory=lambda: tempfile.TemporaryFile("w+"))  # noqa: SIM115 - closed by __exit__
    """What the shell wrote to its standard error."""
    _shell: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> Self:
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.complaints,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._shell is not None
        self._shell.communicate("exit\n", timeout=20)
        self.complaints.close()

    def follow(self, block: Block) -> list[str]:
        """Do what the block says; what is not as written."""
        match block.language:
            case "graphql":
                return self._ask(block)
            case "sh":
                return self._type(block)
            case _:
                return []

    def _ask(self, block: Block) -> list[str]:
        document = self._filled(block.text)
        is_query = document.lstrip().startswith(("query", "{"))
        deadline = time.monotonic() + (PATIENCE_SECONDS if is_query else 0)
        while True:
            answer = httpx.post(
                f"{self.base}/graphql",
                json={"query": document},
                headers={"Authorization": f"Bearer {self.key}"},
                trust_env=False,
                verify=TRUSTS_NOBODY,
                timeout=60,
            ).json()
            answer.pop("extensions", None)
            found = self._compared(block, answer)
            if not found or time.monotonic() >= deadline:
                self._hear(answer)
                return found
            time.sleep(0.2)

    def _compared(self, block: Block, answer: Any) -> list[str]:
        if block.expected is None:
            return []
        expected = json.loads(self._at_home(block.expected))
        found = list(differences(expected, answer))
        return [*found, json.dumps(answer, ensure_ascii=False)] if found else []

    def run(self, block: Block) -> tuple[str, int]:
        """What a shell block prints, and how it ends."""
        return self._run(self._filled(block.text))

    def _type(self, block: Block) -> list[str]:
        if block.text.split() == ["make", "serve"]:
            return []
        output, status = self.run(block)
        if status != 0:
            self.complaints.seek(0)
            return [f"status {status}: {output} {self.complaints.read()[-2000:]}"]
        if block.expected is None:
            return []
        expected = self._at_home(block.expected)
        if expected.lstrip().startswith("{"):
            return [*differences(json.loads(expected), json.loads(output))]
        same = [line.strip() for line in expected.splitlines()] == [
            line.strip() for line in output.splitlines()
        ]
        return [] if same else [f"it printed {output!r}, written is {expected!r}"]

    def _run(self, commands: str) -> tuple[str, int]:
        shell = self._shell
        assert shell is not None
        assert shell.stdin is not None
        assert shell.stdout is not None
        end = "--the-block-ends--"
        shell.stdin.write(f"{{ {commands.rstrip()}\n}} </dev/null; echo; echo {end} $?\n")
        shell.stdin.flush()
        lines: list[str] = []
        for line in shell.stdout:
            if line.startswith(end):
                return "\n".join(lines).strip(), int(line.split()[1])
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended: {lines}")

    def _hear(self, value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                self._hear(item)
        elif isinstance(value, list):
            for item in value:
                self._hear(item)
        elif isinstance(value, str):
            self.heard.append(value)

    def _filled(self, text: str) -> str:
        """With every placeholder replaced by what was heard last and begins so."""
        return _PLACEHOLDER.sub(lambda match: self._heard(match[0]), self._at_home(text))

    def _heard(self, placeholder: str) -> str:
        begins = placeholder.removesuffix(ANYTHING)
        for text in reversed(self.heard):
            if text.startswith(begins):
                return text
        raise AssertionError(f"nothing was heard that begins with {begins!r}")

    def _at_home(self, text: str) -> str:
        for written, actual in self.here.items():
            text = text.replace(written, actual)
        return text
