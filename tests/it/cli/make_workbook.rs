//! `postrider make-workbook`, which the server starts for itself.

use std::io::Write as _;
use std::process::Stdio;

fn fed(input: &str) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.arg("make-workbook").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn rows_make_a_workbook_and_what_breaks_off_makes_none() {
    let whole = fed("attempts\n[1,{\"time\":1772366400000},\"text\",null]\nend\n");
    assert!(whole.status.success() && whole.stdout.starts_with(b"PK"), "{whole:?}");
    for broken in ["attempts\n[1]\n", "", "attempts\nnonsense\nend\n", "nonsense\n[1]\nend\n"] {
        let output = fed(broken);
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), b"".as_slice()), "{broken:?}");
        assert!(!output.stderr.is_empty());
    }
}
