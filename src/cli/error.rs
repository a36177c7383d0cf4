//! How a command fails: what is printed, and the exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::app::StartError;
use crate::bench::BenchError;
use crate::config::Problems;
use crate::demo::DemoError;
use crate::host::data_dir::DataDirError;
use crate::service::ServiceError;
use crate::service::people::apps::AppError;
use crate::service::people::keys::KeyError;
use crate::service::people::users::UserError;
use crate::store::StoreError;
use crate::upkeep::backup::BackupError;

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Wrong usage: the command line must change.
    #[error("{0}")]
    Usage(String),
    /// Any other failure while running.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(StoreError),
    /// The server did not start.
    #[error(transparent)]
    Start(StartError),
    /// A file could not be written or read.
    #[error(transparent)]
    Backup(BackupError),
    /// The demo failed.
    #[error(transparent)]
    Demo(DemoError),
    /// The benchmark failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
}

impl CliError {
    /// 2 when the command line or the configuration must change, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Config(_) | CliError::DataDir(_) | CliError::Usage(_) => ExitCode::from(2),
            CliError::Store(StoreError::Refused { .. }) => ExitCode::from(2),
            CliError::Failed(_)
            | CliError::Store(_)
            | CliError::Start(_)
            | CliError::Backup(_)
            | CliError::Demo(_)
            | CliError::Bench(_) => ExitCode::from(1),
        }
    }

    /// The text for people: the error with its causes, or one line for each problem of a configuration.
    pub fn report(&self) -> String {
        if let CliError::Config(problems) = self {
            return problems.to_string();
        }
        format!("error: {}", with_causes(self))
    }
}

/// An error with its causes.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> CliError {
        match error {
            StartError::DataDir(error) => error.into(),
            StartError::Store(error) => error.into(),
            StartError::Tls(error) => CliError::Usage(with_causes(&error)),
            StartError::Listen { .. }
            | StartError::PassedSocket(_)
            | StartError::Sender(_)
            | StartError::DiskFailed
            | StartError::Signals(_) => CliError::Start(error),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> CliError {
        match error {
            // At the start, and in commands, nothing else keeps storage busy for longer than its own waits.
            StoreError::Overloaded => CliError::Failed(
                "the database is locked by another process. Close what has it open, such as sqlite3 or a backup \
                 tool, and try again"
                    .to_owned(),
            ),
            error => CliError::Store(error),
        }
    }
}

impl From<ServiceError> for CliError {
    fn from(error: ServiceError) -> CliError {
        CliError::Failed(with_causes(&error))
    }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> CliError {
        match error {
            DemoError::Start(error) => error.into(),
            DemoError::Key(error) => error.into(),
            DemoError::App(error) => error.into(),
            error => CliError::Demo(error),
        }
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> CliError {
        match error {
            AppError::BadName(_) => CliError::Usage(error.to_string()),
            AppError::NameTaken(_) | AppError::NotFound(_) => CliError::Failed(error.to_string()),
            AppError::Store(error) => error.into(),
        }
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> CliError {
        match error {
            KeyError::BadName(_) | KeyError::NoScopes | KeyError::ScopesNotHeld(_) | KeyError::NoLifetime => {
                CliError::Usage(error.to_string())
            }
            KeyError::NotFound(_) => CliError::Failed(error.to_string()),
            KeyError::App(error) => error.into(),
            KeyError::Store(error) => error.into(),
        }
    }
}

impl From<UserError> for CliError {
    fn from(error: UserError) -> CliError {
        match error {
            UserError::BadEmail(_) | UserError::BadPassword => CliError::Usage(error.to_string()),
            UserError::EmailTaken(_) | UserError::NotFound(_) => CliError::Failed(error.to_string()),
            UserError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_changed_ends_with_2_and_what_may_pass_with_1() {
        let what = || "w".to_owned();
        for (error, code) in [
            (StoreError::Refused { what: what() }, 2),
            (StoreError::Unreachable { what: what() }, 1),
            (StoreError::Overloaded, 1),
        ] {
            let text = error.to_string();
            assert_eq!(CliError::from(error).exit_code(), ExitCode::from(code), "{text}");
        }
    }
}
