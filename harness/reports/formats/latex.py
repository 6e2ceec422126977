"""``latex``: every table with booktabs, in one file that compiles by itself and whose tables can be copied out."""

from __future__ import annotations

from harness.reports.content import Cell, Report, Row, RunSection, Table
from harness.reports.formats.base import FORMATS, Files

HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[margin=2cm]{geometry}
\begin{document}
"""
SPECIAL = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "²": r"\textsuperscript{2}",
    "₂": r"\textsubscript{2}",
    "–": "--",
    "—": "---",
    "-": "{-}",
    "’": "'",
}
MATHS = {"−": "-", "→": r"\rightarrow", "≥": r"\geq", "≤": r"\leq", "×": r"\times", "±": r"\pm", "τ": r"\tau"}
MATHS |= {"‖": r"\|", "∞": r"\infty", "†": r"^{\dagger}"}
SPECIAL |= {letter: f"${command}$" for letter, command in MATHS.items()}


@FORMATS.register("latex")
def latex(report: Report) -> Files:
    body = "\n".join(map(chapter, report.sections))
    yield "tables.tex", f"{HEAD}{body}\\end{{document}}\n".encode()


def chapter(section: RunSection) -> str:
    parts = [rf"\section*{{{escape(section.title)}}}", *map(escape, (section.question, *section.notes))]
    if section.findings:
        items = "\n".join(rf"\item {escape(sentence)}" for sentence in section.findings)
        parts.append(f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
    parts.append(escape(section.legend))
    return "\n\n".join([*parts, *map(table, section.tables), r"\clearpage", ""])


def table(shown: Table) -> str:
    """A table no wider than the line; intervals stand below their values."""
    head = " & ".join(escape(name) for name in (shown.corner, *(column.name for column in shown.columns)))
    rows = "\n".join(map(row, shown.rows))
    caption = escape(f"{shown.title}. {shown.description}".strip())
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{caption}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(shown.columns)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def row(shown: Row) -> str:
    lines = [" & ".join([escape(shown.name), *map(cell, shown.cells)]) + r" \\"]
    if any(one.interval for one in shown.cells):
        below = (rf"{{\footnotesize {escape(one.interval)}}}" if one.interval else "" for one in shown.cells)
        lines.append(" & ".join(["", *below]) + r" \\[3pt]")
    return "\n".join(lines)


def cell(shown: Cell) -> str:
    value = escape(shown.text)
    value = rf"\textbf{{{value}}}" if shown.best else value
    beside = f" {escape(shown.beside_text)}" if shown.beside_text else ""
    return f"{value}{beside}{SPECIAL['†'] if shown.mark else ''}"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; a letter that pdfLaTeX's fonts lack becomes a question mark."""
    plain = " ".join(str(text).split())
    return "".join(
        SPECIAL.get(letter) or (letter if letter.isascii() or printable(letter) else "?") for letter in plain
    )


def printable(letter: str) -> bool:
    """Whether the T1 fonts have it: Latin letters with accents, that is."""
    return "À" <= letter <= "ž"
