//! The program `postrider`.

fn main() {}
