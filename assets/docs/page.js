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

fetch("openapi.json")
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
