//! `make-workbook`: the process that the server starts for an XLSX export. Rows on stdin, the file on stdout.
//! It is not for people, so `--help` does not list it.

use std::io::{BufReader, BufWriter, Write as _, stdin, stdout};

use super::CliError;
use crate::export::xlsx::pipe;

/// Runs the command.
pub(super) fn run() -> Result<(), CliError> {
    let mut output = BufWriter::new(stdout().lock());
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
    match pipe::build(BufReader::new(stdin().lock()), &mut output).map_err(|e| failed(&e))? {
        true => output.flush().map_err(|e| failed(&e)),
        false => Err(CliError::Failed("the input ended before the last row".to_owned())),
    }
}
