//! `user`: the users of the dashboard.
//!
//! A password comes from `--password-file` (`-` for standard input) or is generated and shown once. It is
//! never an argument, because other users of the machine could read it, and there is no prompt, because a
//! script would hang in it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, output, storage};
use crate::config::Config;
use crate::config::input_file::{self, SECRET_MAX};
use crate::config::load::without_line_end;
use crate::domain::{Role, User};
use crate::host::clock::{Clock, SystemClock};
use crate::service::By;
use crate::service::people::users;
use crate::store::Store;

/// Commands on users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user
    Create {
        /// Email address to sign in with
        #[arg(long)]
        email: String,
        /// owner (everything), admin (changes webhooks, retries, creates keys) or viewer (reads)
        #[arg(long, value_parser = role)]
        role: Role,
        #[command(flatten)]
        password: PasswordArgs,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List all users by email address
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Set a new password
    ResetPassword {
        /// Email address of the user
        #[arg(long)]
        email: String,
        #[command(flatten)]
        password: PasswordArgs,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Where a password comes from.
#[derive(Debug, clap::Args)]
pub struct PasswordArgs {
    /// File with the password, - for standard input (default: generate one and show it once)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// A password, and whether it was generated here and must be shown.
struct Password {
    text: String,
    is_generated: bool,
}

impl PasswordArgs {
    fn read(&self) -> Result<Password, CliError> {
        let Some(file) = &self.password_file else {
            return Ok(Password { text: users::generate_password(), is_generated: true });
        };
        let text = if file == Path::new("-") {
            input_file::read_all(std::io::stdin(), SECRET_MAX)
        } else {
            input_file::read_text(file, SECRET_MAX)
        };
        match text {
            Ok(text) => Ok(Password { text: without_line_end(&text).to_owned(), is_generated: false }),
            Err(e) => {
                Err(CliError::Usage(format!("the password file {} cannot be read: {e}", file.display())))
            }
        }
    }
}

impl Password {
    fn shown(&self) -> Option<&str> {
        self.is_generated.then_some(self.text.as_str())
    }
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| format!("expected {}", Role::WORDS.join(", ")))
}

/// Runs the command.
pub(super) fn run(command: UserCommand, config: &Config) -> Result<(), CliError> {
    storage::with(config, async |store| run_with(command, config, store).await)
}

async fn run_with(command: UserCommand, config: &Config, store: &dyn Store) -> Result<(), CliError> {
    let (by, now) = (By::command_line(), SystemClock.now());
    match command {
        UserCommand::Create { email, role, password, json } => {
            let password = password.read()?;
            let user = users::create(store, &email, role, &password.text, &by, now).await?;
            if json {
                let mut shown = user_json(&user);
                add_password(&mut shown, &password);
                output::print_json(&shown)
            } else {
                let text = format!("created {} with the role {}\n", user.email, user.role);
                output::print(&(text + &sign_in_text(&password, config)))
            }
        }
        UserCommand::List { json } => {
            let users = users::list(store).await?;
            if json {
                output::print_json(&Value::Array(users.iter().map(user_json).collect()))
            } else {
                output::print(&list_text(&users))
            }
        }
        UserCommand::ResetPassword { email, password, json } => {
            let password = password.read()?;
            users::reset_password(store, &email, &password.text, &by, now).await?;
            if json {
                let mut shown = json!({ "email": email });
                add_password(&mut shown, &password);
                output::print_json(&shown)
            } else {
                let text = format!("{email} has a new password\n");
                output::print(&(text + &sign_in_text(&password, config)))
            }
        }
    }
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id.to_string(),
        "email": user.email,
        "role": user.role.as_str(),
        "created_at": user.created_at.to_string(),
    })
}

fn add_password(object: &mut Value, password: &Password) {
    if let Some(text) = password.shown() {
        object["password"] = text.into();
    }
}

fn sign_in_text(password: &Password, config: &Config) -> String {
    let shown =
        password.shown().map_or(String::new(), |text| format!("password (shown only once): {text}\n"));
    format!("{shown}sign in at {}/admin/\n", output::base(config))
}

fn list_text(users: &[User]) -> String {
    if users.is_empty() {
        return "No users yet. Create one:\n  postrider user create --email you@example.com --role owner\n"
            .to_owned();
    }
    let row = |user: &User| [user.email.clone(), user.role.to_string(), output::time(Some(user.created_at))];
    output::table(["EMAIL", "ROLE", "CREATED"], &users.iter().map(row).collect::<Vec<_>>())
}
