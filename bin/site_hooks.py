"""What MkDocs does not know of the documents: files beside docs/ are pages of the site, too, and the reference is written from the code.

On a disk and on a forge, links such as `../CONTRIBUTING.md` lead out of docs/. In the site all pages lie under one root.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
}
"""Beside docs/ -> in the site."""
STATIC = ("benchmarks/results/*", "notebooks/*.ipynb")
LONGEST = 22
"""Letters of a word of code that is not broken."""
STYLE = """
.md-grid { max-width: 76rem; }
.md-typeset :not(pre) > code { word-break: normal; overflow-wrap: break-word; }
.md-typeset code > .word { white-space: nowrap; }
[data-md-color-scheme="slate"] img[src*="benchmarks/results/"] { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; }
.md-typeset :is(.language-console, .language-bash) pre > code { white-space: pre-wrap; }
.md-typeset .gp { user-select: none; }
[data-md-copying] .gp { display: none; }
@media screen and (max-width: 44em) {
  .md-typeset p:has(> img) { overflow-x: auto; }
  .md-typeset p > img { max-width: none; min-width: 38rem; }
  .md-typeset td:nth-child(3):last-child { min-width: 8rem; }
}
"""
"""Words of code break nowhere or where they may; commands are shown whole, and copied without their prompt; charts are drawn on white; on a phone a picture is scrolled, and not too small to read."""
PYTHON = (
    "Catalog",
    "import_datasets",
    "train",
    "import_model",
    "run_batch_inference",
    "resume",
    "report",
    "recommend",
    "read_output",
    "evaluate",
    "compare",
    "explain_filter",
    "explain_theme",
    "client",
)


def on_config(config: Any, **_: object) -> None:
    """Let all decisions follow the architecture: their titles are those of the pages."""
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    [walk] = [each["How it works"] for each in config.nav if "How it works" in each]
    walk.append({"Decisions": [f"decisions/{page.name}" for page in pages]})


def on_files(files: Files, config: Any, **_: object) -> Files:
    """Add the pages and pictures beside docs/, and the reference."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=_page(source)))
    for path in sorted(path for pattern in STATIC for path in ROOT.glob(pattern)):
        files.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    files.append(File.generated(config, "style.css", content=STYLE))
    files.append(File.generated(config, "reference/command-line.md", content=command_line()))
    files.append(File.generated(config, "reference/python.md", content=_python()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Bring links out of docs/ back under the site's root."""
    depth = page.file.src_uri.count("/")
    outside, root = "../" * (depth + 1), "../" * depth
    return markdown.replace(f"]({outside}README.md", f"]({root}index.md").replace(f"]({outside}", f"]({root}")


def on_page_content(html: str, **_: object) -> str:
    r"""Say where words of code may break: in a narrow column an option, a name or a path otherwise breaks at any letter.

    A table in Markdown has `\|` for `|`, which a forge shows without the backslash.
    """
    html = re.sub(r"<td.*?</td>", lambda cell: cell[0].replace(r"\|", "|"), html, flags=re.DOTALL)
    return re.sub(r"(?<!<span></span>)<code>([^<]+)</code>", lambda code: f"<code>{_breakable(code[1])}</code>", html)


def _breakable(code: str) -> str:
    return re.sub(r"\S+", _word, code)


def _word(word: re.Match[str]) -> str:
    """Short ones as a whole, long ones at what joins their parts."""
    if len(word[0]) <= LONGEST:
        return f'<span class="word">{word[0]}</span>'
    return re.sub(r"(?<=[\w.*])([/_=]|::|\.(?=\w))", r"\1<wbr>", word[0])


def _page(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/decisions/)", "](docs/architecture.md)")
    return re.sub(r"\]\(docs/", "](", text).replace("](README.md", "](index.md")


def command_line() -> str:
    """The help of every command, as the command line prints it."""
    sys.path.insert(0, str(ROOT))
    from personalize_spark.cli.main import parser

    commands = next(each for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
    texts = {name: each.format_help().rstrip() for name, each in commands.choices.items()}
    parts = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in texts.items()]
    return "\n".join(["# Command line\n\nWhat `personalize-spark COMMAND --help` prints.\n", *parts])


def _python() -> str:
    return "\n".join(
        [
            "# Python\n\n```python\nimport personalize_spark as ps\n```\n",
            *(f"::: personalize_spark.{name}\n    options: {{members: false}}\n" for name in PYTHON),
        ]
    )
