//! `completions` and `man`, generated from the definition of the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, CliError, output};

/// Prints the completions of a shell.
pub(super) fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "postrider", &mut script);
    output::print_exactly(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, one section for each command.
pub(super) fn man() -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::Failed(format!("cannot write the manual page: {e}"));
    let command = Cli::command();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        let title = format!("COMMAND {}", sub.get_name().to_uppercase());
        page.extend(format!(".SH {title}\n").into_bytes());
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        page.extend(format!("{about}\n").into_bytes());
        let mut options = Vec::new();
        clap_mangen::Man::new(sub.clone()).render_options_section(&mut options).map_err(failed)?;
        let text = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "");
        page.extend(text.into_bytes());
    }
    output::print_exactly(&String::from_utf8_lossy(&page))
}
