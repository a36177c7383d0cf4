// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy allows no inline script.

// Swagger UI fills optional parameters with their examples, so that "Try it out" would always filter by all of them at
// once. Here an example is shown next to its parameter instead.
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

// Swagger UI has a dark scheme, which a class switches on.
const dark = matchMedia("(prefers-color-scheme: dark)");
const scheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
scheme();
dark.addEventListener("change", scheme);

// The surface that is shown: /v1, or the one in the page's address.
const surfaces = { v1: "openapi.json", v0: "api/v0/openapi.json", admin: "admin/openapi.json" };
const named = new URLSearchParams(location.search).get("surface");
const surface = Object.hasOwn(surfaces, named) ? named : "v1";
for (const link of document.querySelectorAll("nav a:not(.back)")) {
  const shows = new URL(link.href).searchParams.get("surface") ?? "v1";
  if (shows === surface) link.setAttribute("aria-current", "page");
}

// Controls that Swagger UI leaves without a name: it is taken from the text next to them.
const NAMES = [
  [".servers select", () => "Server"],
  ["select.content-type, .content-type-wrapper select", (e) => (e.closest(".responses-wrapper") ? "Response media type" : "Request media type")],
  [".parameters select, .parameters input, .parameters textarea", (e) => e.closest("tr")?.querySelector(".parameter__name")?.firstChild?.textContent],
  ["textarea.body-param__text", () => "Request body"],
  [".auth-container input", (e) => e.closest(".wrapper")?.querySelector("label")?.textContent],
];
function repair() {
  for (const [css, nameOf] of NAMES) {
    for (const control of document.querySelectorAll(css)) {
      const labeled = [...(control.labels ?? [])].some((label) => label.innerText.trim() && label.querySelector("select") !== control);
      if (labeled || control.getAttribute("aria-label")) continue;
      const name = nameOf(control);
      if (name) control.setAttribute("aria-label", name.trim());
    }
  }
  // A link inside the button that opens the operation, which Swagger UI handles by that button anyway.
  for (const link of document.querySelectorAll(".opblock-summary-control a[href]")) link.removeAttribute("href");
  // Examples scroll, so the keyboard has to reach them.
  for (const example of document.querySelectorAll("pre.microlight:not([tabindex])")) example.tabIndex = 0;
}
let planned = false;
new MutationObserver(() => {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    repair();
  });
}).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });

const at = document.getElementById("swagger-ui");
const failed = (why) => {
  at.textContent = `The OpenAPI document could not be loaded: ${why}. Reload the page to try again.`;
  at.className = "failed";
};

fetch(surfaces[surface])
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`HTTP ${response.status}`))))
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
  })
  .catch((error) => failed(error.message));
