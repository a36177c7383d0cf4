// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy allows no inline script.

// Swagger UI fills optional parameters with their examples, so that "Try it out" would always filter by
// all of them at once. Here an example is shown beside its parameter instead.
function withoutPrefilling(spec) {
  for (const item of Object.values(spec.paths)) {
    for (const operation of Object.values(item)) {
      for (const parameter of operation.parameters ?? []) {
        if (parameter.required || parameter.example === undefined) continue;
        parameter.description += ` Example: \`${parameter.example}\`.`;
        delete parameter.example;
      }
    }
  }
  return spec;
}

// The surface that is shown: /v1, or the one that the page's address names.
const surfaces = { v1: "openapi.json", v0: "api/v0/openapi.json", admin: "admin/openapi.json" };
const named = new URLSearchParams(location.search).get("surface");
const surface = Object.hasOwn(surfaces, named) ? named : "v1";
for (const link of document.querySelectorAll("nav a")) {
  const shows = new URL(link.href).searchParams.get("surface") ?? "v1";
  if (shows === surface) link.setAttribute("aria-current", "page");
}

fetch(surfaces[surface])
  .then((answer) => answer.json())
  .then((spec) => {
    window.ui = SwaggerUIBundle({
      spec: withoutPrefilling(spec),
      dom_id: "#swagger-ui",
      deepLinking: true,
      displayRequestDuration: true,
      tryItOutEnabled: true,
      persistAuthorization: false,
      // Off: it would send the document to another host.
      validatorUrl: null,
    });
  });
