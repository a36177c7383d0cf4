//! `…/deliveries/export`: the delivery log as a file.

use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::param::Path;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::{ApiResponse, OpenApi};

use crate::domain::EndpointId;
use crate::http::problem::Problem;
use crate::http::request::auth::ExportWebhooks;
use crate::http::request::query::Query;
use crate::service::log::export::{Content, ExportError, File, Format};

use super::endpoints::endpoint_id;
use super::{Tag, filters, params};

/// The operations.
pub struct ExportApi;

#[OpenApi(tag = "Tag::Deliveries")]
impl ExportApi {
    /// Export deliveries of all webhooks
    ///
    /// Every row that matches the filters, in the order of the list, as a file. CSV and JSON Lines are
    /// streamed, whatever their length. In CSV, text that a spreadsheet would run as a formula gets a
    /// leading `'`. An XLSX workbook has up to `export.xlsx_max_rows` rows (20,000 unless configured);
    /// more are a 422. One workbook is made at a time; others wait their turn. Of people who have signed in,
    /// admins and owners may export.
    #[oai(path = "/webhooks/deliveries/export", method = "get", operation_id = "export_all_deliveries")]
    async fn export_all(&self, auth: ExportWebhooks, request: &Request) -> Result<Download, Problem> {
        export(&auth, None, request).await
    }

    /// Export deliveries of a webhook
    ///
    /// Every row that matches the filters, in the order of the list, as a file: see the export over all
    /// webhooks.
    #[oai(path = "/webhooks/:id/deliveries/export", method = "get", operation_id = "export_deliveries")]
    async fn export_one(
        &self,
        auth: ExportWebhooks,
        id: Path<String>,
        request: &Request,
    ) -> Result<Download, Problem> {
        let id = endpoint_id(&id)?;
        auth.state.services.endpoints.get(&auth.caller, id).await?;
        export(&auth, Some(id), request).await
    }
}

async fn export(
    auth: &ExportWebhooks,
    endpoint: Option<EndpointId>,
    request: &Request,
) -> Result<Download, Problem> {
    let mut query = Query::of(request, &params::attempt_export(endpoint.is_some()));
    let mut filter = filters::of_log(&mut query);
    let sort = filters::sort(&mut query, &filter);
    let names = Format::WORDS.join(", ");
    if query.text("format").is_none() {
        query.fail("format", format!("is required: one of {names}"));
    }
    let format = query.get("format", &format!("one of {names}"), Format::parse);
    query.finish()?;
    let format = format.ok_or_else(Problem::internal)?;
    if endpoint.is_some() {
        filter.endpoint = endpoint;
    }
    let file = auth.state.services.exports.export(&auth.caller, filter, sort, format).await?;
    Ok(Download { file, endpoint })
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Problem {
        match error {
            ExportError::Service(error) => error.into(),
            ExportError::TooManyRows { max } => Problem::invalid_parameters(vec![(
                "format".to_owned(),
                format!(
                    "xlsx has room for {max} rows (export.xlsx_max_rows), and more match; narrow the filter, or take csv or jsonl, which have no limit"
                ),
            )]),
            error @ (ExportError::Xlsx(_) | ExportError::Lost) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a workbook was not made");
                Problem::internal()
            }
        }
    }
}

/// A file as an answer.
pub(super) struct Download {
    file: File,
    endpoint: Option<EndpointId>,
}

impl Download {
    fn name(&self) -> String {
        let of = self.endpoint.map_or_else(|| "all".to_owned(), |id| id.to_string());
        // RFC 3339 begins with the day.
        let day: String = self.file.made_at.to_string().chars().take(10).collect();
        format!("webhook-deliveries-{of}-{day}.{}", self.file.format.as_str())
    }
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let disposition = format!("attachment; filename=\"{}\"", self.name());
        let disposition = HeaderValue::try_from(disposition).expect("ids and dates are plain text");
        let body = match self.file.content {
            Content::Whole(bytes) => Body::from_bytes(bytes),
            Content::Stream(stream) => Body::from_bytes_stream(stream),
        };
        Response::builder()
            .content_type(self.file.format.content_type())
            .header(header::CONTENT_DISPOSITION, disposition)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::CACHE_CONTROL, "no-store")
            .body(body)
    }
}

impl ApiResponse for Download {
    fn meta() -> MetaResponses {
        let text = |format: Option<&'static str>| {
            MetaSchemaRef::Inline(Box::new(MetaSchema { format, ..MetaSchema::new("string") }))
        };
        let content = Format::ALL
            .iter()
            .copied()
            .map(|format| MetaMediaType {
                content_type: format.content_type(),
                schema: text((format == Format::Xlsx).then_some("binary")),
            })
            .collect();
        let name = MetaHeader {
            name: "Content-Disposition".to_owned(),
            description: Some(
                "`attachment; filename=\"webhook-deliveries-<webhook id or all>-<YYYY-MM-DD>.<format>\"`"
                    .to_owned(),
            ),
            required: true,
            deprecated: false,
            schema: text(None),
        };
        let response = MetaResponse {
            description: "The file. The columns, in order: `id`, `created_at`, `endpoint_id`, `endpoint_name`, `endpoint_url`, `event_id`, `event_type`, `validation_id`, `delivery_id`, `attempt`, `attempted_at`, `status`, `trigger`, `response_status`, `response_time_ms`, `error_kind`, `error_message`, `next_retry_at`, `response_body`; with `view=deliveries` also `last_response_status`, `last_error_kind`, `last_error_message`, `last_attempted_at`. A stream that breaks off in the middle ends without its last chunk.",
            status: Some(200),
            status_range: None,
            content,
            headers: vec![name],
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_: &mut Registry) {}
}
