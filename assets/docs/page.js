// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy allows no inline script.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  // Off: it would send the document to another host.
  validatorUrl: null,
});
