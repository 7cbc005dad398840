"""The documentation site can be read in a narrow column: its code breaks where it may, and its tables say what Markdown means."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_HOOKS = Path(__file__).parents[1] / "bin" / "site_hooks.py"


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<code>--map A</code>", '<code><span class="word">--map</span> <span class="word">A</span></code>'),
        (
            "<code>tests/job/test_run.py::test_it</code>",
            "<code>tests/<wbr>job/<wbr>test_<wbr>run.<wbr>py::<wbr>test_<wbr>it</code>",
        ),
        (r"<td>by <code>\|</code></td>", '<td>by <code><span class="word">|</span></code></td>'),
        (r"<p><code>\|</code></p>", r'<p><code><span class="word">\|</span></code></p>'),
        ("<pre><span></span><code>usage: run</code></pre>", "<pre><span></span><code>usage: run</code></pre>"),
    ],
)
def test_code_breaks_where_it_may(html: str, shown: str) -> None:
    spec = importlib.util.spec_from_file_location("site_hooks", _HOOKS)
    assert spec
    assert spec.loader
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    assert hooks.on_page_content(html) == shown
