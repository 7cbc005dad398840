"""What all pages share: one style for light, dark and a phone's width, and how a page or a notebook's cell is put together.

A page needs nothing else: no script, no font, no image, no link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from personalize_spark.quality.charts import GRID, INK

_DARK = "--ink:#e8ebef;--soft:#a3adb8;--grid:#353c45;--ground:#14181d;--card:#1d2329;--one:#6ea0f0;--bad:#f08a7a"
STYLE = f"""
.ps {{ --ink:#1d2530;--soft:#5b6470;--grid:#e6e9ed;--ground:#f5f6f8;--card:#fff;--one:#3b76d6;--bad:#c0392b;
  color-scheme: light dark; box-sizing: border-box; margin: 0 auto; max-width: 1180px; padding: 24px; background: var(--ground);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }}
body.ps-page {{ margin: 0; background: #f5f6f8; }}
@media (prefers-color-scheme: dark) {{ .ps {{ {_DARK} }} body.ps-page {{ background: #14181d; }} }}
[data-jp-theme-light="false"] .ps {{ {_DARK} }}
[data-jp-theme-light="true"] .ps {{ --ink:#1d2530;--soft:#5b6470;--grid:#e6e9ed;--ground:#f5f6f8;--card:#fff;--one:#3b76d6;--bad:#c0392b }}
.ps h1 {{ margin: 0 0 8px; font-size: 26px; }}
.ps h2 {{ margin: 0 0 6px; font-size: 16px; }}
.ps p {{ margin: 0 0 12px; color: var(--soft); }}
.ps code {{ font-size: 13px; overflow-wrap: anywhere; color: inherit; background: none; }}
.ps header ul {{ display: flex; flex-wrap: wrap; gap: 20px; margin: 16px 0; padding: 0; list-style: none; }}
.ps header li::before {{ content: ""; display: inline-block; width: 12px; height: 12px; margin-right: 8px; border-radius: 3px;
  background: var(--colour); vertical-align: -1px; }}
.ps main {{ display: flex; flex-wrap: wrap; gap: 16px; }}
.ps section {{ box-sizing: border-box; flex: 1 1 264px; min-width: 0; padding: 18px; border: 1px solid var(--grid); border-radius: 10px; background: var(--card); }}
.ps section p, .ps li {{ font-size: 13px; }}
.ps .small {{ flex-basis: 160px; }}
.ps .wide {{ flex: 2 1 544px; }}
.ps .full {{ flex: 1 1 100%; }}
.ps .stack {{ display: flex; flex: 1 1 264px; flex-direction: column; gap: 16px; }}
.ps .stack section {{ flex: 1 1 auto; }}
@media (min-width: 872px) and (max-width: 1151px) {{ .ps .stack {{ display: contents; }} .ps .stack section {{ flex-basis: 264px; }} }}
.ps .beside {{ display: flex; flex-wrap: wrap; gap: 24px; align-items: center; }}
.ps .beside > * {{ flex: 1 1 240px; max-width: 640px; }}
.ps .big {{ font-size: 26px; font-variant-numeric: tabular-nums; }}
.ps .faint {{ color: var(--soft); opacity: 0.6; }}
.ps .bad {{ color: var(--bad); }}
.ps svg {{ display: block; max-width: 100%; height: auto; background: none !important; }}
.ps svg text {{ fill: var(--ink); }}
.ps svg path[stroke="{GRID}"] {{ stroke: var(--grid); }}
.ps svg path[stroke="{INK}"] {{ stroke: var(--ink); }}
.ps svg circle[fill="#ffffff"] {{ fill: var(--card); }}
@media print {{ .ps section {{ break-inside: avoid; }} .ps, body.ps-page {{ background: none; }}
  .ps .bar i {{ -webkit-print-color-adjust: exact; print-color-adjust: exact; }} }}
.ps .scroll {{ overflow-x: auto; }}
.ps table {{ width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }}
.ps th, .ps td {{ padding: 4px 8px 4px 0; border-bottom: 1px solid var(--grid); text-align: right; font-weight: 400; vertical-align: top;
  background: none; }}
.ps thead th {{ color: var(--soft); }}
.ps th:first-child, .ps .text th, .ps .text td {{ text-align: left; }}
.ps td {{ white-space: nowrap; }}
.ps .text td {{ overflow-wrap: anywhere; white-space: normal; }}
.ps .bar {{ display: grid; grid-template-columns: minmax(76px, auto) 1fr minmax(56px, auto); gap: 8px; align-items: center; font-size: 12px;
  color: var(--soft); font-variant-numeric: tabular-nums; }}
.ps .bar i {{ display: block; height: 12px; min-width: 1px; border-radius: 2px; background: var(--one); }}
@media (max-width: 640px) {{ .ps {{ padding: 12px; }} .ps .wide {{ flex-basis: 100%; }} .ps .text td:not(:only-of-type) {{ min-width: 8em; }} }}
"""


def printable(text: str) -> str:
    """A text without what neither a terminal nor a page should be given."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def document(title: str, body: str, style: str = "") -> str:
    """A page, as HTML that needs nothing else."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body class="ps-page">
<div class="ps">
{body}</div>
</body>
</html>
"""


def fragment(body: str) -> str:
    """The same for a notebook's cell, as `_repr_html_` gives it."""
    return f'<style>{STYLE}</style>\n<div class="ps">\n{body}</div>\n'


def section(title: str, content: str, width: str = "") -> str:
    """A card; `width` is "", "small", "wide" or "full"."""
    kind = f' class="{width}"' if width else ""
    return f"<section{kind}><h2>{escape(title)}</h2>\n{content}</section>\n"


def stack(sections: Sequence[str]) -> str:
    """Cards below each other, where one would stand."""
    return f'<div class="stack">{"".join(sections)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: bool = False) -> str:
    """A table of texts, of which the first of each row is its name; `text` ones are set left."""
    heads = "".join(f"<th>{escape(each)}</th>" for each in head)
    lines = "".join(
        f"<tr><th>{escape(row[0])}</th>{''.join(f'<td>{escape(each)}</td>' for each in row[1:])}</tr>\n" for row in rows
    )
    kind = ' class="text"' if text else ""
    top = f"<thead><tr>{heads}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table{kind}>{top}<tbody>\n{lines}</tbody></table></div>\n'


def bar_list(values: Mapping[str, float]) -> str:
    """Horizontal bars on one scale, each with its name and its number."""
    most = max(values.values(), default=0) or 1
    return "".join(
        f'<div class="bar"><span>{escape(name)}</span><i style="width:{100 * value / most:.1f}%"></i><span>{value:,.0f}</span></div>\n'
        for name, value in values.items()
    )


def area(values: Sequence[float], label: str) -> str:
    """A filled curve of values at equal distances, as wide as its card; `label` says what it is to who cannot see it."""
    most, steps = max(values, default=0) or 1, max(1, len(values))
    points = " ".join(
        f"{x:.1f},{100 - 96 * value / most:.1f}"
        for n, value in enumerate(values)
        for x in (600 * n / steps, 600 * (n + 1) / steps)
    )
    shape = f'<polygon points="0,100 {points} 600,100" fill="var(--one)" fill-opacity="0.75"/>'
    return f'<svg viewBox="0 0 600 100" width="100%" role="img"><title>{escape(label)}</title>{shape}</svg>\n'
