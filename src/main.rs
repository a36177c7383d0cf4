//! The program `postrider`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    postrider::cli::main()
}
