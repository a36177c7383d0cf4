//! Debug builds only: a newer program, as far as the schema is concerned. A test of an upgrade names a directory in
//! `FAULTS_MIGRATIONS`; its files `V2__….sql`, `V3__….sql` follow those that are embedded. The first line of each says
//! which programs may use the database after it: `-- oldest: 1`.

use std::path::Path;

use super::Step;

/// The files of the directory, in order; none without one.
pub(super) fn steps() -> Vec<Step> {
    let Some(directory) = std::env::var_os("FAULTS_MIGRATIONS") else { return Vec::new() };
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut steps: Vec<Step> = files.filter_map(|file| step(&file.path())).collect();
    steps.sort_by(|a, b| a.name.cmp(&b.name));
    steps
}

fn step(file: &Path) -> Option<Step> {
    let (name, sql) = (file.file_stem()?.to_str()?.to_owned(), std::fs::read_to_string(file).ok()?);
    let oldest = sql.lines().next()?.strip_prefix("-- oldest: ")?.trim().parse().ok()?;
    Some(Step { name: name.into(), sql: sql.into(), oldest })
}
