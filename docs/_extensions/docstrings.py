"""Docstrings of this project as reStructuredText: they are plain text with named sections.

Plain paragraphs become text, indented blocks are kept line by line, lines with hanging indents
become lists, Markdown tables become tables, and `Args:`, `Returns:`, `Raises:`, `Source:`,
`Differs:` become fields.
"""

import re
import textwrap

_SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Source|Differs|Attributes|Published):(.*)$")
_ARGUMENT = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*):(?: (.*))?$")
_GAP = re.compile(r"\S.*?\s{2,}(?=\S)")
_CODE = re.compile(r"(`[^`]+`)")


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-skip-member", _skip)
    return dict(parallel_read_safe=True)


def _process(app, what, name, obj, options, lines: list[str]) -> None:
    lines[:] = converted("\n".join(lines)).split("\n")


def _skip(app, what, name, obj, skip: bool, options) -> bool | None:
    """Fields of named tuples are described in their class."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def converted(docstring: str) -> str:
    """A docstring as reStructuredText."""
    text, sections = split(docstring)
    blocks = [*_blocks(text)]
    fields = [field for name, body in sections for field in _fields(name, body)]
    return "\n\n".join([*blocks, "\n".join(fields)]) + "\n"


def split(docstring: str) -> tuple[str, list[tuple[str, str]]]:
    """The text before the first section, and (name, text) of every section."""
    before: list[str] = []
    sections: list[tuple[str, list[str]]] = []
    lines = before
    for line in docstring.split("\n"):
        found = _SECTION.match(line)
        if found:
            lines = [found[2].strip()]
            sections.append((found[1], lines))
        elif sections and line and not line.startswith(" "):
            lines = before  # text again, after the sections
            before += ["", line]
        else:
            lines.append(line)
    return "\n".join(before), [(name, _dedented(body)) for name, body in sections]


def _dedented(lines: list[str]) -> str:
    rest = textwrap.dedent("\n".join(lines[1:]))
    return f"{lines[0]}\n{rest}".strip("\n")


def _blocks(text: str):
    """Blocks between blank lines; indented neighbours are one literal block."""
    literal: list[str] = []
    for block in [*re.split(r"\n\s*\n", text.strip("\n")), ""]:
        if block.startswith("  "):
            literal.append(block)
            continue
        if literal:
            yield _indented(textwrap.dedent("\n\n".join(literal)))
            literal = []
        if block.startswith("| ") and "\n| ---" in block:
            yield _table(block)
        elif block:
            yield from _paragraph(block)


def _paragraph(block: str):
    lines = block.split("\n")
    first = next((i for i, line in enumerate(lines) if line.startswith("  ")), None)
    if first is None:
        yield plain(" ".join(lines))
    elif (
        first and all(line.startswith("    ") for line in lines[first:]) and _ends(lines[first - 1])
    ):
        yield plain(" ".join(lines[:first]))
        yield _indented(textwrap.dedent("\n".join(lines[first:])))
    else:
        yield "\n".join(f"* {plain(item)}" for item in _hanging(lines))


def _indented(block: str) -> str:
    """Lines `term   what it is` as a list of terms, everything else line by line."""
    lines = block.split("\n")
    gap = _GAP.match(lines[0])
    column = gap.end() if gap else 0
    rest = [line[column:] for line in lines]
    aligned = gap and all(not line[column - 1 : column].strip() for line in lines)
    if not aligned or any("  " in text.strip() for text in rest) or not all(rest):
        return "::\n\n" + textwrap.indent(block, "    ")
    items: list[list[str]] = []
    for line, text in zip(lines, rest, strict=True):
        if term := line[:column].strip():
            items.append([term, text])
        else:
            items[-1][1] += " " + text
    return "\n\n".join(f"``{term}``\n    {plain(text)}" for term, text in items)


def _ends(line: str) -> bool:
    return line.endswith((":", "."))


def _hanging(lines: list[str]) -> list[str]:
    """Items of lines whose continuations are indented."""
    items: list[str] = []
    for line in lines:
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        else:
            items.append(line.strip())
    return items


def _fields(name: str, body: str):
    if name in ("Args", "Attributes"):
        arguments = [_ARGUMENT.match(item) for item in _hanging(body.strip("\n").split("\n"))]
        if all(arguments):
            for found in arguments:
                yield f":param {_escaped(found[1])}: {plain(found[2] or '')}"
            return
        name = "Parameters"
    yield f":{name}: {plain(' '.join(body.split()))}"


def plain(text: str) -> str:
    """Text in which nothing but backticks means anything."""
    parts = _CODE.split(re.sub(r"\s+", " ", text).strip())
    return "".join(
        f"{_before(parts, i)}``{part[1:-1]}``{_after(parts, i)}" if i % 2 else _escaped(part)
        for i, part in enumerate(parts)
    )


def _before(parts: list[str], i: int) -> str:
    return "\\ " if re.search(r"[\w>]$", parts[i - 1]) else ""


def _after(parts: list[str], i: int) -> str:
    return "\\ " if re.match(r"\w", parts[i + 1]) else ""


def _escaped(text: str) -> str:
    return re.sub(r"([\\*|_`\[\]:<>])", r"\\\1", text)


def _table(block: str) -> str:
    # Not strip("| "), which would drop the last cell of a row where it is empty.
    lines = (line.strip().removeprefix("|").removesuffix("|") for line in block.split("\n"))
    rows = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
        for line in lines
    ]
    rows = [row for row in rows if not set("".join(row)) <= set("-: |")]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if not i else '  -'} {plain(cell)}" for i, cell in enumerate(row)]
    return "\n".join(lines)
