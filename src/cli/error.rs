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

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// What was asked for makes no sense, whatever the state of things.
    #[error("{0}")]
    Usage(String),
    /// Anything that went wrong while running.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server did not start.
    #[error(transparent)]
    Start(StartError),
    /// A file could not be written or read.
    #[error(transparent)]
    Backup(BackupError),
    /// The demo did not run.
    #[error(transparent)]
    Demo(DemoError),
    /// Nothing could be measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
}

impl CliError {
    /// 2 for what a person must change in command or configuration, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Config(_) | CliError::DataDir(_) | CliError::Usage(_) => ExitCode::from(2),
            CliError::Store(StoreError::InUse { .. }) => ExitCode::from(2),
            CliError::Failed(_)
            | CliError::Store(_)
            | CliError::Start(_)
            | CliError::Backup(_)
            | CliError::Demo(_)
            | CliError::Bench(_) => ExitCode::from(1),
        }
    }

    /// What a person reads: the error with its causes; the problems of a configuration a line each.
    pub fn report(&self) -> String {
        if let CliError::Config(problems) = self {
            return problems.to_string();
        }
        format!("error: {}", with_causes(self))
    }
}

/// An error and what led to it.
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
            | StartError::HandedOver(_)
            | StartError::Sender(_)
            | StartError::DiskFailed
            | StartError::Signals(_) => CliError::Start(error),
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
