"""Pages as a browser without scripts sees them: their text, their forms, and what the forms would send."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass
class Form:
    """One form: its target, and its fields with their current values."""

    action: str = ""
    id: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)


class Page(HTMLParser):
    """A page; `elements` are all opening tags with their attributes, `text` is the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.forms: list[Form] = []
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self._form: Form | None = None
        self._area = self._select = ""
        self.feed(html)

    def form(self, action: str, **fields: str) -> Form:
        """Return the form whose target ends with this text and that has these values, among others."""
        wanted = fields.items()
        return next(each for each in self.forms if each.action.endswith(action) and wanted <= each.fields.items())

    def element(self, tag: str, **attributes: str) -> dict[str, Any]:
        wanted = attributes.items()
        return next(given for name, given in self.elements if name == tag and wanted <= given.items())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        name = given.get("name") or ""
        if tag == "form":
            self._form = Form(given.get("action") or "", given.get("id") or "")
            self.forms.append(self._form)
        elif self._form is None:
            return
        elif tag == "input" and (given.get("type") != "radio" or "checked" in given):
            self._form.fields[name] = given.get("value") or ""
        elif tag == "textarea":
            self._area = name
            self._form.fields[name] = ""
        elif tag == "select":
            self._select = name
            self._form.options[name] = []
        elif tag == "option":
            self._take_option(given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._area = ""
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if self._area and self._form is not None:
            self._form.fields[self._area] += data.removeprefix("\n") if not self._form.fields[self._area] else data
        else:
            self.text += data

    def _take_option(self, given: Mapping[str, str | None]) -> None:
        value = given.get("value") or ""
        if self._form is None or not self._select:
            return
        self._form.options[self._select].append(value)
        if "selected" in given or self._select not in self._form.fields:
            self._form.fields[self._select] = value
