"""Templates, filled in."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from storyreel.arena.web.settings import Settings


class Pages:
    """Renders the templates of this package; everything is escaped, and a name that is missing is an error."""

    def __init__(self, settings: Settings) -> None:
        self._templates = Environment(
            loader=PackageLoader("storyreel.arena.web"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        self._templates.globals["texts"] = settings.texts

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(**values), status)

    def message(self, status: int, title: str, *lines: str, wait_seconds: float = 0.0) -> Response:
        """A page that says one thing and leads back to the study."""
        response = self.page("message.html", status, title=title, lines=lines)
        if wait_seconds:
            response.headers["Retry-After"] = f"{wait_seconds:.0f}"
        return response
