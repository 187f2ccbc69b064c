"""A web page out of a sample's source, with all that stands around the text on real pages."""

from __future__ import annotations

from html import escape

from samples.make_blocks import Block, Item, blocks

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>nav {{ float: left }}</style>
<script>window.visits = (window.visits || 0) + 1;</script>
</head>
<body>
<header><a href="/">Harbour notebook</a> <span>Jottings from the quay</span></header>
<nav><ul><li><a href="/boats">Boats</a></li><li><a href="/weather">Weather</a></li></ul></nav>
<form action="/search"><label>Find on this site <input name="q"></label><button>Look it up</button></form>
<main>
{body}
</main>
<footer><p>Harbour notebook, all rights reserved. <a href="/imprint">Imprint</a></p></footer>
</body>
</html>
"""


def make_html(markdown: str) -> str:
    found = list(blocks(markdown))
    return _PAGE.format(title=escape(found[0].lines[0]), body="\n".join(map(_block, found)))


def _block(block: Block) -> str:
    if block.kind == "heading":
        return f"<h{block.level}>{escape(block.lines[0])}</h{block.level}>"
    if block.kind == "code":
        return f"<pre><code>{escape(chr(10).join(block.lines))}</code></pre>"
    if block.kind == "table":
        return _table(block.rows)
    if block.kind == "list":
        return _list(block.items, 0)
    return f"<p>{escape(block.lines[0]).replace('harbour wall', HARBOUR_WALL)}</p>"


HARBOUR_WALL = '<a href="https://example.org/wall">harbour wall</a>'


def _table(rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _list(items: list[Item], depth: int) -> str:
    tag = "ol" if items[0].numbered else "ul"
    made = ""
    starts = [place for place, item in enumerate(items) if item.depth == depth]
    for place, following in zip(starts, [*starts[1:], len(items)], strict=True):
        inner = items[place + 1 : following]
        made += f"<li>{escape(items[place].text)}{_list(inner, depth + 1) if inner else ''}</li>\n"
    return f"<{tag}>\n{made}</{tag}>"
