"""The page at /docs. All that it loads comes from this process: a cluster without a way out reads it too."""

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.staticfiles import StaticFiles

PAGE, ASSETS = "/docs", "/docs/assets"


def add_page(app: FastAPI) -> None:
    """Serve Swagger UI for the app's OpenAPI document; the package fastapi-offline carries its files."""

    async def page(request: Request) -> HTMLResponse:
        prefix = str(request.scope.get("root_path", ""))
        return get_swagger_ui_html(
            title=app.title,
            openapi_url=f"{prefix}{app.openapi_url}",
            swagger_js_url=f"{prefix}{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{prefix}{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{prefix}{ASSETS}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # its badge would ask a server elsewhere
        )

    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]), name="documentation")
    app.add_route(PAGE, page, include_in_schema=False)
