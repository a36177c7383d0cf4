//! What browsers ask for at the root of a server: the page that the address leads to, and its icon.

use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{Request, Response, handler};

use crate::http::base_path;
use crate::http::document::assets;
use crate::http::document::assets::REVALIDATE;
use crate::http::problem::Problem;
use crate::http::state::State;

/// Leads to the dashboard.
#[handler]
pub(crate) fn root(request: &Request, state: Data<&State>) -> Response {
    let dashboard = format!("{}/admin/", base_path::seen_by(request, &state.base_path));
    Response::builder().status(StatusCode::FOUND).header(header::LOCATION, dashboard).finish()
}

/// The icon for browsers that ask for it by its old name.
#[handler]
pub(crate) fn favicon(request: &Request) -> Result<Response, Problem> {
    let files = assets::files();
    let icon = files.get("favicon.ico").ok_or_else(Problem::internal)?;
    Ok(icon.answer(request, REVALIDATE))
}
