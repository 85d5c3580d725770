"""The style sheet and the script of the report page.

Each representation (trained, untrained, pixels, pca, published) has the same colour in tables,
plots and legends.
"""

CSS = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --raised: #f6f8fa; --ink: #11181f; --soft: #57626d; --faint: #8b959f;
  --line: #e2e7ec; --line-strong: #c9d1d9; --accent-soft: #e7f1fd;
  --trained: #0b66d0; --untrained: #7d8894; --pixels: #cf7a00; --pca: #0e8f7e;
  --other: #8a4fc9; --raw: #a9cdf3;
  --k0: #0b66d0; --k1: #c8382e; --k2: #0e8f7e; --k3: #cf7a00; --k4: #8a4fc9;
  --k5: #5f7d00; --k6: #c2409a; --k7: #7a5230; --k8: #1f9bc2; --k9: #57626d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1419; --raised: #171e26; --ink: #e8edf2; --soft: #a3afba; --faint: #75818d;
    --line: #262f39; --line-strong: #3a4652; --accent-soft: #14304f;
    --trained: #5cabff; --untrained: #95a1ad; --pixels: #f0a440; --pca: #3cc4b0;
    --other: #bd93f0; --raw: #2a5686;
    --k0: #5cabff; --k1: #ff7b6e; --k2: #3cc4b0; --k3: #f0a440; --k4: #bd93f0;
    --k5: #a3c73a; --k6: #f07cc9; --k7: #c99a6d; --k8: #5fd0f0; --k9: #a3afba;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 -apple-system, "Segoe UI", Inter, Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
main { max-width: 1120px; margin: 0 auto; padding: 56px 32px 72px; }
code, pre, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono",
  monospace; font-size: .875em; }
small { font-size: .8125em; color: var(--soft); font-weight: 400; }

header .eyebrow { margin: 0 0 10px; color: var(--soft); font-size: 13px; letter-spacing: .02em; }
header .eyebrow code { overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 40px; line-height: 1.1; letter-spacing: -.025em; font-weight: 700;
  overflow-wrap: anywhere; }
h1 span { color: var(--faint); font-weight: 400; }
.verdict { margin: 18px 0 0; max-width: 44em; font-size: 21px; line-height: 1.45;
  color: var(--soft); letter-spacing: -.006em; text-wrap: pretty; }
.verdict strong { color: var(--ink); font-weight: 650; }
.verdict strong:first-of-type { color: var(--trained); }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr));
  margin: 34px 0 0; border: solid var(--line); border-width: 1px 0; }
.tiles div { padding: 14px 18px 15px 0; }
.tiles dt { color: var(--soft); font-size: 12.5px; }
.tiles dd { margin: 1px 0 0; font-size: 19px; line-height: 1.3; font-weight: 600;
  letter-spacing: -.01em; }
.tiles dd.text { font-size: 15px; line-height: 1.35; padding-top: 2px; letter-spacing: 0; }

section { margin-top: 52px; }
h2 { margin: 0; font-size: 22px; line-height: 1.25; letter-spacing: -.015em; font-weight: 650; }
h2 + p { margin: 5px 0 0; max-width: 52em; color: var(--soft); }
.source { margin: 12px 0 0; color: var(--soft); font-size: 13px; max-width: 68em; }

table.probes { width: 100%; margin-top: 18px; border-collapse: collapse; table-layout: fixed; }
.probes th, .probes td { padding: 8px 12px; text-align: right; white-space: nowrap; }
.probes th { font-weight: 500; }
.probes thead th { width: 9.8%; } .probes thead th:first-child { width: 13%; }
.probes.few thead th:first-child { width: 28%; }
.probes thead th.plot { width: auto; }
.probes th:first-child { text-align: left; padding-left: 0; }
.probes th[scope=row] { white-space: normal; overflow-wrap: anywhere; }
.probes th[scope=row] small { white-space: nowrap; }
.probes thead th { color: var(--soft); font-size: 13px; padding-bottom: 7px;
  border-bottom: 1px solid var(--line-strong); }
.probes .group th, .probes .group td { padding-top: 18px; padding-bottom: 6px;
  border-bottom: 1px solid var(--line); vertical-align: bottom; }
.probes .group th { font-weight: 650; }
.probes .group small { margin-left: 8px; }
.probes .group + tr > * { padding-top: 11px; }
.probes .shared { background: linear-gradient(var(--raised), var(--raised)) no-repeat center;
  background-size: calc(100% - 6px) calc(100% - 10px); }
.probes td small { display: inline-block; min-width: 2.9em; margin-left: 5px; }
.probes td.none { color: var(--faint); }
.probes td.trained { font-weight: 600; }
.probes td.best b { background: var(--accent-soft); box-shadow: 0 0 0 4px var(--accent-soft);
  border-radius: 2px; color: var(--trained); font-weight: 700; }
.probes td b { font-weight: inherit; }
.key { display: inline-block; width: 9px; height: 9px; margin-right: 6px; border-radius: 50%;
  background: var(--role); }
.key.line { width: 2px; height: 12px; border-radius: 0; vertical-align: -2px; }
.key.diamond, .mark.diamond { background: var(--page); border: 2px solid var(--ink);
  border-radius: 1px; transform: rotate(45deg); }
.key.diamond { width: 8px; height: 8px; }
.trained { --role: var(--trained); } .untrained { --role: var(--untrained); }
.pixels { --role: var(--pixels); } .pca { --role: var(--pca); } .other { --role: var(--other); }

.probes th.plot, .probes td.plot { padding: 0 10px 0 30px; text-align: left; }
.probes tr > td.plot { padding-top: 0; padding-bottom: 0; height: 1px; }
.track { position: relative; height: 100%; min-height: 38px; }
.track i { position: absolute; }
.track .tick { top: 0; bottom: 0; width: 1px; background: var(--line); }
.track .line { top: 0; bottom: 0; width: 2px; margin-left: -1px; background: var(--role); }
.track .bar { top: 50%; height: 2px; margin-top: -1px; background: var(--line-strong); }
.track .mark { top: 50%; width: 13px; height: 13px; margin: -6.5px 0 0 -6.5px; border-radius: 50%;
  background: var(--role); box-shadow: 0 0 0 2px var(--page); }
.track .mark.diamond { width: 10px; height: 10px; margin: -5px 0 0 -5px; border-radius: 1px;
  box-shadow: none; }
.ticks { position: relative; height: 18px; color: var(--faint); font-size: 12px; }
.ticks span { position: absolute; bottom: 0; transform: translateX(-50%); }

.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 310px), 1fr));
  gap: 26px 30px; margin-top: 20px; }
figure { margin: 0; }
.curve { min-width: 0; border-top: 1px solid var(--line-strong); padding-top: 8px; }
.curve figcaption { display: flex; gap: 12px; justify-content: space-between;
  align-items: baseline; }
.curve figcaption b { font-weight: 600; min-width: 0; overflow-wrap: anywhere; }
.curve output { color: var(--soft); white-space: nowrap; font-size: 14px; }
.curve > small { display: block; min-height: 1.5em; font-size: 12px; color: var(--faint);
  text-align: right; }
.curve svg { display: block; width: 100%; height: auto; overflow: visible; margin-top: 4px; }
.curve svg svg { overflow: hidden; }
.curve text { font-size: 12.5px; fill: var(--faint); }
.curve text.y { text-anchor: end; } .curve text.x { text-anchor: middle; }
.curve .grid { stroke: var(--line); } .curve .axis { stroke: var(--line-strong); }
.curve path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.curve .raw { stroke: var(--raw); stroke-width: 1; }
.curve .main { stroke: var(--trained); stroke-width: 2; }
.curve .point { fill: var(--trained); }
.curve .hover line { stroke: var(--faint); stroke-dasharray: 2 3; }
.curve .hover circle { fill: var(--page); stroke: var(--trained); stroke-width: 2; }
.curve .empty { color: var(--faint); margin: 24px 0; }

.pictures { columns: 2 400px; column-gap: 36px; margin-top: 20px; }
.picture { break-inside: avoid; margin-bottom: 34px; }
.picture.wide { column-span: all; }
.picture .frame { background: #fff; border: 1px solid var(--line); border-radius: 4px;
  padding: 14px; text-align: center; }
.picture img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.picture figcaption { margin-top: 10px; color: var(--soft); font-size: 14px; }
.picture figcaption b { display: block; color: var(--ink); font-size: 15px; font-weight: 600; }

.measures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 310px), 1fr));
  gap: 24px 30px; margin-top: 18px; }
.measure { border-top: 1px solid var(--line-strong); padding-top: 10px; }
.measure h3 { margin: 0; font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }
.measure ul { display: flex; flex-wrap: wrap; gap: 4px 24px; list-style: none; margin: 8px 0 6px;
  padding: 0; }
.measure li b { display: block; font-size: 24px; line-height: 1.2; font-weight: 600;
  letter-spacing: -.015em; }
.measure li.trained b { color: var(--trained); }
.measure p { margin: 0; color: var(--soft); font-size: 13.5px; }

details { margin-top: 14px; border: solid var(--line); border-width: 1px 0; }
summary { padding: 11px 0; cursor: pointer; font-weight: 500; }
summary:focus-visible { outline: 2px solid var(--trained); outline-offset: 2px; }
.config { columns: 2 420px; column-gap: 44px; padding: 4px 0 18px; }
.config table { width: 100%; border-collapse: collapse; break-inside: avoid; margin: 0 0 22px; }
.config caption { text-align: left; font-weight: 600; padding: 0 0 4px; }
.config th, .config td { padding: 3px 0; border-top: 1px solid var(--line); text-align: left;
  vertical-align: top; font-weight: 400; overflow-wrap: anywhere; }
.config th { width: 46%; padding-right: 14px; color: var(--soft); }

.config.numbers { columns: auto; max-width: 60em; }
.config.numbers th { width: 20%; }

.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 230px), 1fr));
  gap: 0 30px; margin: 16px 0 0; }
.facts div { display: flex; justify-content: space-between; gap: 14px; padding: 5px 0;
  border-bottom: 1px solid var(--line); }
.facts dt { color: var(--soft); } .facts dd { margin: 0; text-align: right;
  overflow-wrap: anywhere; }
.notes { margin: 12px 0 0; padding-left: 1.2em; max-width: 60em; }
.notes li { margin: 3px 0; }

.k0 { --role: var(--k0); } .k1 { --role: var(--k1); } .k2 { --role: var(--k2); }
.k3 { --role: var(--k3); } .k4 { --role: var(--k4); } .k5 { --role: var(--k5); }
.k6 { --role: var(--k6); } .k7 { --role: var(--k7); } .k8 { --role: var(--k8); }
.k9 { --role: var(--k9); }
.curve .main[class*=k] { stroke: var(--role); stroke-width: 1.8; }
.curve .raw[class*=k] { stroke: var(--role); opacity: .3; }
.curve .point[class*=k] { fill: var(--role); }
.curve .dashed { stroke-dasharray: 5 4; }
.curve .hidden { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; padding: 8px 0;
  position: sticky; top: 0; background: var(--page); z-index: 2; }
.legend button { font: inherit; font-size: 14px; color: inherit; background: none; border: 0;
  padding: 2px 0; cursor: pointer; overflow-wrap: anywhere; text-align: left; }
.legend button[aria-pressed=false] { opacity: .4; text-decoration: line-through; }
.legend button:focus-visible { outline: 2px solid var(--trained); outline-offset: 2px; }
.stroke { display: inline-block; width: 18px; margin-right: 6px; vertical-align: 4px;
  border-top: 3px solid var(--role); }
.stroke.dashed { border-top-style: dashed; }
.scroll { overflow-x: auto; margin-top: 18px; }
.compared { border-collapse: collapse; min-width: 100%; }
.compared th, .compared td { padding: 6px 12px; text-align: right; vertical-align: top; }
.compared th { font-weight: 500; }
.compared th:first-child { text-align: left; padding-left: 0; min-width: 170px; max-width: 340px;
  overflow-wrap: anywhere; position: sticky; left: 0; background: var(--page); }
.compared thead th { vertical-align: bottom; min-width: 104px; max-width: 220px; font-weight: 600;
  overflow-wrap: anywhere; border-bottom: 1px solid var(--line-strong); }
.compared thead th small { display: block; }
.compared tbody tr { border-bottom: 1px solid var(--line); }
.compared .group th { padding-top: 20px; font-weight: 650; }
.compared .group small { margin-left: 8px; }
.compared td { white-space: nowrap; } .compared td.none { color: var(--faint); }
.compared td code { white-space: normal; overflow-wrap: anywhere; }
.compared td small { display: inline-block; min-width: 2.9em; margin-left: 5px; }
.compared td b { font-weight: 500; }
.compared td.best b { background: var(--accent-soft); box-shadow: 0 0 0 4px var(--accent-soft);
  border-radius: 2px; color: var(--trained); font-weight: 700; }
.compared.text th, .compared.text td { text-align: left; white-space: normal; }
.compared tr.control { color: var(--soft); display: none; }
main:has(#controls:checked) .compared tr.control { display: table-row; }
.switch { display: inline-block; margin-top: 12px; cursor: pointer; }

@media screen and (max-width: 860px) {
  .probes th.plot, .probes td.plot, .probes thead .key { display: none; }
  .probes thead th:first-child { width: 18%; } .probes thead th { width: auto; }
}
@media screen and (max-width: 620px) {
  main { padding: 30px 18px 48px; }
  h1 { font-size: 30px; } .verdict { font-size: 18px; margin-top: 14px; }
  .tiles { grid-template-columns: 1fr 1fr; margin-top: 24px; }
  .tiles div { padding: 10px 12px 10px 0; border-top: 1px solid var(--line); margin-top: -1px; }
  section { margin-top: 40px; }
  .probes th, .probes td { padding: 7px 0 7px 8px; }
  .probes thead th { font-size: 12px; letter-spacing: -.01em; vertical-align: bottom; }
  .probes .shared { background: none; }
  .probes th:first-child small, .probes td small { display: block; margin-left: 0; min-width: 0;
    font-size: 12px; line-height: 1.3; }
}
@media print {
  :root { --page: #fff; --raised: #fff; --ink: #000; --soft: #444; --faint: #666; --line: #ddd;
    --line-strong: #aaa; --accent-soft: #e7f1fd; --trained: #0b66d0; --untrained: #7d8894;
    --pixels: #cf7a00; --pca: #0e8f7e; --other: #8a4fc9; --raw: #a9cdf3; color-scheme: light; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  body { font-size: 8.5pt; } main { max-width: none; padding: 0; }
  h1 { font-size: 24pt; } h2 { font-size: 14pt; } .verdict { font-size: 13pt; }
  section { margin-top: 20pt; }
  .tiles { grid-template-columns: repeat(6, auto); } .tiles dd { font-size: 11pt; }
  .probes th, .probes td { padding: 4px 5px; } .probes thead th { font-size: 7.5pt; }
  .track { min-height: 26px; }
  .curves { grid-template-columns: repeat(3, 1fr); gap: 12px 20px; }
  .pictures { columns: 2; } .picture img { max-height: 150mm; width: auto; }
  .config { columns: 2; }
  h2, h2 + p { break-after: avoid; }
  .curve, .measure, .picture, .probes tbody { break-inside: avoid; }
  details::details-content { content-visibility: visible; height: auto; display: block; }
}
"""

SCRIPT = """
const hidden = new Set();
for (const button of document.querySelectorAll('.legend button')) {
  button.addEventListener('click', () => {
    const column = Number(button.dataset.column), off = !hidden.has(column);
    off ? hidden.add(column) : hidden.delete(column);
    button.setAttribute('aria-pressed', !off);
    for (const line of document.querySelectorAll(`.curve [data-column="${column}"]`))
      line.classList.toggle('hidden', off);
  });
}
for (const figure of document.querySelectorAll('.curve')) {
  const points = JSON.parse(figure.dataset.points), svg = figure.querySelector('svg');
  if (!svg || !points.length) continue;
  const names = JSON.parse(figure.dataset.names || 'null'), unit = figure.dataset.unit || 'step';
  const hover = svg.querySelector('.hover'), [line, dot] = hover.children;
  const output = figure.querySelector('output'), last = output.textContent;
  const hide = () => {
    hover.setAttribute('visibility', 'hidden');
    output.textContent = last;
  };
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    const distance = p => names ? Math.hypot(p[0] - x, p[1] - y) : Math.abs(p[0] - x);
    const shown = points.filter(p => !hidden.has(p[4]));
    if (!shown.length) return hide();
    const near = shown.reduce((a, b) => distance(b) < distance(a) ? b : a);
    line.setAttribute('x1', near[0]); line.setAttribute('x2', near[0]);
    dot.setAttribute('cx', near[0]); dot.setAttribute('cy', near[1]);
    hover.setAttribute('visibility', 'visible');
    const name = names ? `${names[near[5]]}, ` : '';
    output.textContent = `${name}${unit} ${near[2].toLocaleString('en')}: ${near[3]}`;
  });
  svg.addEventListener('pointerleave', hide);
}
"""
