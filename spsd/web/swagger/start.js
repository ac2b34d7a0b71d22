// Swagger UI over this daemon's own description. "Try it out" sends requests from this page, so the
// session's cookie goes with them; it is HttpOnly, and no script sees it.
"use strict";

window.ui = SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  // A script's request: a wrong password is answered here, and not by the browser's own dialog.
  requestInterceptor: (request) => {
    request.headers["X-Requested-With"] = "fetch";
    return request;
  },
});
