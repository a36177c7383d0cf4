//! `/admin/api/log-level`: what the log lines tell, while the server runs.

use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::http::problem::Problem;
use crate::http::request::auth::{Admin, AnyRole};
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::service::log_level::LogLevel;

use super::Tag;

/// What the log lines tell.
#[derive(Object)]
#[oai(rename = "LogLevel")]
struct LogLevelObject {
    /// Now: `info`, or directives such as `info,postrider::delivery=debug`.
    level: String,
    /// After a restart: `log.level` of the configuration.
    configured: String,
}

impl LogLevelObject {
    fn of(log_level: &LogLevel) -> LogLevelObject {
        let (level, configured) = log_level.view();
        LogLevelObject { level, configured: configured.to_owned() }
    }
}

/// What the log lines should tell.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct LogLevelBody {
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,postrider::delivery=debug`;
    /// null: as it is configured.
    level: Option<String>,
}

impl BodyShape for LogLevelBody {}

/// The operations.
pub struct LogLevelApi;

#[OpenApi(tag = "Tag::Operation")]
impl LogLevelApi {
    /// Get the log level
    ///
    /// What is logged now, and what is configured.
    #[oai(path = "/log-level", method = "get", operation_id = "get_log_level")]
    async fn get(&self, auth: AnyRole) -> Result<Answer<LogLevelObject>, Problem> {
        Ok(Answer(LogLevelObject::of(&auth.state.services.log_level)))
    }

    /// Change the log level
    ///
    /// From the next line on, until the server ends: the configuration says what it is after a restart. Only
    /// for owners, because `off` hides what happens on the server from its log.
    #[oai(path = "/log-level", method = "put", operation_id = "change_log_level")]
    async fn change(&self, auth: Admin, body: Json<LogLevelBody>) -> Result<Answer<LogLevelObject>, Problem> {
        let mut fields = Fields::of_body(&body.bytes, &["level"])?;
        fields.require("level");
        let level = fields.nullable::<String>("level", "a level or directives").flatten();
        fields.finish()?;
        let log_level = &auth.state.services.log_level;
        log_level.change(&auth.caller.by, level.as_deref()).await?;
        Ok(Answer(LogLevelObject::of(log_level)))
    }
}
