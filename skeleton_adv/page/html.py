"""The page as one HTML file: its template, style and script, and a policy that allows nothing else to run."""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skeleton_adv.page.pack import as_json

ASSETS = Path(__file__).parent / "assets"


def script() -> str:
    """The page's script: the files of ``assets/js`` in the order of their names, in one scope."""
    files = sorted((ASSETS / "js").glob("*.js"))
    body = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return f'(() => {{\n"use strict";\n{body}\n}})();\n'


def policy(code: str, style: str) -> str:
    """The Content-Security-Policy that allows exactly this script and this style, and no connection."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{_digest(code)}'",
            f"style-src 'sha256-{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def document(title: str, core: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """The whole file: ``core`` is read at once, each of the ``parts`` when it is first shown."""
    code, style = script(), (ASSETS / "style.css").read_text(encoding="utf-8")
    blocks = [f'<script type="text/plain" id="part-{name}">{text}</script>' for name, text in parts.items()]
    filled = {
        "title": html.escape(title),
        "policy": html.escape(policy(code, style), quote=False).replace('"', "&quot;"),
        "style": style,
        "script": code,
        "core": as_json(core),
        "parts": "\n".join(blocks),
    }
    template = (ASSETS / "template.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], template)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
