"""How the page of an inspection looks."""

from __future__ import annotations

STYLE = """
:root { --ink: #1d2129; --soft: #6a7280; --paper: #f6f7f9; --card: #fff; --line: #e3e6ea;
  --accent: #3a6ea5; --good: #2f855a; --look: #b7791f; --problem: #c53030; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e6e8ec; --soft: #98a1ae; --paper: #14161a; --card: #1d2026;
  --line: #2c313a; --accent: #6ea3dc;
  --good: #68d391; --look: #f6c05c; --problem: #fc8181; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 75rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 1.9rem; overflow-wrap: anywhere; }
h2 { margin: 0 0 .8rem; font-size: 1.05rem; }
.path, .more { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
.path { margin: .2rem 0 1.5rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem;
  margin-bottom: 1rem; }
.figures div, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.figures div { padding: .8rem 1.1rem; }
.figures b { display: block; font-size: 1.6rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); }
section { padding: 1.1rem; margin-bottom: 1rem; min-width: 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 0 1rem; }
.finding { display: flex; gap: .8rem; padding: .45rem 0; }
.finding + .finding { border-top: 1px solid var(--line); }
.finding i { flex: none; width: 1.5rem; height: 1.5rem; border-radius: 50%; color: var(--card);
  font-style: normal; font-weight: 700; text-align: center; line-height: 1.5rem; }
.finding b, .finding span { display: block; }
.finding span { color: var(--soft); }
.finding code { overflow-wrap: anywhere; }
.good i { background: var(--good); }
.look i { background: var(--look); }
.problem i { background: var(--problem); }
.sheet { display: block; width: 100%; image-rendering: pixelated; border-radius: .3rem; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
.bars th { width: 1%; max-width: 16rem; padding: .1rem .8rem .1rem 0; font-weight: 400; text-align: left;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.bars .n { width: 1%; padding-right: .6rem; text-align: right; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.bars .bar div { height: .8rem; min-width: 1px; border-radius: .2rem; background: var(--accent); }
.list td { padding: .25rem .8rem .25rem 0; border-top: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
.list td + td { color: var(--soft); }
.groups { display: flex; flex-wrap: wrap; gap: .8rem; }
.group { display: flex; flex-wrap: wrap; gap: .4rem; }
.groups .group { padding: .4rem; border: 1px solid var(--line); border-radius: .4rem; }
figure { margin: 0; width: 96px; }
figure img { display: block; width: 96px; height: 96px; border-radius: .2rem; }
figcaption { color: var(--soft); font-size: .65rem; line-height: 1.2; overflow-wrap: anywhere; }
"""
