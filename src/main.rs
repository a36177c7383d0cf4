//! The program `postrider`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

/// The system's allocator spends a third of the server's CPU under load: requests come on one thread and end on
/// another. Figures in docs/benchmarks.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    postrider::cli::main()
}
