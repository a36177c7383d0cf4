//! Which modules a page of the dashboard needs, so that a browser can request all of them at once.
//!
//! A module says what it imports only when it has been loaded; four of them in a row are four round trips. So
//! the page names them up front: each module after those that it imports. A test reads the import statements
//! and says how a list has to be changed. Modules that come with a click (`import(…)`) are not listed.

/// Modules of every page.
const ALWAYS: &[&str] = &[
    "vendor/preact/preact.js",
    "vendor/htm/htm.js",
    "vendor/preact/hooks.js",
    "vendor/signals/signals-core.js",
    "vendor/signals/signals.js",
    "ui.js",
    "ahead.js",
    "format.js",
    "state.js",
    "api.js",
    "router.js",
    "pages/index.js",
    "components/page.js",
    "components/icon.js",
    "components/menu.js",
    "components/time.js",
    "components/toast.js",
    "components/shell.js",
    "components/text.js",
    "components/door.js",
    "components/states.js",
    "components/form.js",
    "components/sign-in.js",
    "components/keyboard.js",
    "components/lazy.js",
    "main.js",
];

/// Pages that people open from outside (`assets/pages/index.js` has all of them), with the modules that they
/// need besides [`ALWAYS`].
const PAGES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "components/load.js",
            "components/badge.js",
            "components/dialog.js",
            "pages/webhooks/actions.js",
            "pages/overview/attention.js",
            "components/chart.js",
            "pages/overview/charts.js",
            "pages/overview.js",
        ],
    ),
    (
        "webhook-deliveries",
        &[
            "components/load.js",
            "components/table.js",
            "components/webhook-picker.js",
            "components/badge.js",
            "pages/deliveries/outcome.js",
            "pages/deliveries/paused.js",
            "pages/deliveries/columns.js",
            "pages/deliveries/filter.js",
            "pages/deliveries/live.js",
            "pages/deliveries/parts.js",
            "components/dialog.js",
            "pages/deliveries/views.js",
            "pages/deliveries/toolbar.js",
            "pages/deliveries.js",
        ],
    ),
    (
        "webhooks",
        &[
            "components/badge.js",
            "components/load.js",
            "components/spark.js",
            "components/table.js",
            "pages/deliveries/filter.js",
            "components/webhook-picker.js",
            "components/dialog.js",
            "pages/deliveries/views.js",
            "pages/deliveries/toolbar.js",
            "pages/webhooks/actions.js",
            "pages/webhooks.js",
        ],
    ),
];

/// The page at this path below `/admin/`, if it is one of [`PAGES`].
pub(super) fn page_at(path: &str) -> Option<&'static str> {
    PAGES.iter().find(|(address, _)| *address == path.trim_matches('/')).map(|(address, _)| *address)
}

/// The modules of this page, each after those that it imports.
pub(super) fn of_page(page: Option<&str>) -> impl Iterator<Item = &'static str> {
    let own = PAGES.iter().find(|(address, _)| Some(*address) == page).map_or(&[][..], |(_, own)| own);
    ALWAYS.iter().chain(own).copied()
}
