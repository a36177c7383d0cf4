//! The API documentation: readable in both schemes, usable by keyboard and screen reader, with a way back.

use serde_json::json;

use crate::every_page::look;
use crate::stage::Stage;

/// One operation of each method is opened: that is where colors and controls are.
const OPEN: &str = "for (const method of ['get', 'post', 'put', 'patch', 'delete'])
      document.querySelector(`.opblock-${method} .opblock-summary-control[aria-expanded=false]`)?.click();";

#[tokio::test]
async fn the_api_documentation_is_readable_in_light_and_dark_and_every_control_has_a_name() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    let mut found = Vec::new();
    for surface in ["v1", "v0", "admin"] {
        page.open_url(&format!("{}/docs?surface={surface}", stage.app.base)).await;
        page.until("the operations", "all('.opblock').length > 3").await;
        page.js(OPEN, vec![]).await;
        page.until("an open one", "all('.opblock.is-open .responses-table').length > 1").await;
        page.until("repairs", "all('.opblock-summary-control a[href]').length === 0").await;
        look(&page, &format!("the documentation of {surface}"), &mut found).await;
    }
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    page.close().await;
}

#[tokio::test]
async fn the_api_documentation_follows_the_color_scheme_and_leads_back_to_the_dashboard() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    page.open_url(&format!("{}/docs", stage.app.base)).await;
    page.until("the operations", "all('.opblock').length > 3").await;
    let brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0)";
    for (scheme, dark) in [("dark", true), ("light", false)] {
        page.scheme(scheme).await;
        let is = format!(
            "document.documentElement.classList.contains('dark-mode') === args && ({brightness} < 300) === args"
        );
        page.until_with(scheme, &is, json!(dark)).await;
    }
    page.press("← Dashboard").await;
    page.sees("Welcome to Postrider").await;
    page.close().await;
}
