//! The layers below a program, compiled once, preloaded, and controlled while it runs: `shim.c`, the disk, and
//! `clock.c`, the time of day.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Settings and counters of the layer; the numbers are their offsets in its control file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    FailSync = 0,
    Space = 1,
    SyncsFailed = 2,
    SpaceRefused = 3,
}

/// A layer for one program.
#[derive(Debug)]
pub(crate) struct Shim {
    control: File,
    pub(crate) env: Vec<(String, String)>,
}

/// The compiled layer of the disk.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("shim"))
}

/// Compiles a layer. The bundled SQLite needs a C compiler as well, so there is one.
fn compiled(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/faults/{name}.c"));
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.so", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
    let done = compiler.arg(&library).arg(&source).args(["-ldl", "-lpthread"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    library
}

/// The time of day of one program.
#[derive(Debug)]
pub(crate) struct WrongClock {
    control: File,
    pub(crate) env: Vec<(String, String)>,
}

impl WrongClock {
    /// One that is right. Its files are in `beside`, where the program can read them.
    pub(crate) fn new(beside: &Path, name: &str) -> WrongClock {
        static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
        let (library, path) = (beside.join(format!("{name}.so")), beside.join(format!("{name}.clock")));
        fs::copy(LIBRARY.get_or_init(|| compiled("clock")), &library).unwrap();
        fs::write(&path, [0; 8]).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let env = vec![("LD_PRELOAD".to_owned(), text(&library)), ("FAULTS_CLOCK".to_owned(), text(&path))];
        WrongClock { control: File::options().write(true).open(&path).unwrap(), env }
    }

    /// Sets it so many seconds ahead of the machine's.
    pub(crate) fn set(&self, seconds: i64) {
        self.control.write_all_at(&seconds.to_le_bytes(), 0).unwrap();
    }
}

impl Shim {
    /// A layer over everything below `watched`. Its own files are in `beside`; with `journal` every change is
    /// noted there.
    pub(crate) fn new(watched: &Path, beside: &Path, journal: Option<&Path>) -> Shim {
        let path = beside.join("control");
        fs::write(&path, [0; 32]).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut env = vec![
            ("LD_PRELOAD".to_owned(), text(library())),
            ("FAULTS_DIR".to_owned(), text(watched)),
            ("FAULTS_CONTROL".to_owned(), text(&path)),
        ];
        env.extend(journal.map(|path| ("FAULTS_JOURNAL".to_owned(), text(path))));
        Shim { control: File::options().read(true).write(true).open(&path).unwrap(), env }
    }

    /// Sets a number; it takes effect with the next call.
    pub(crate) fn set(&self, number: Number, value: i64) {
        self.control.write_all_at(&value.to_le_bytes(), number as u64 * 8).unwrap();
    }

    /// Reads a setting or a counter.
    pub(crate) fn get(&self, number: Number) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, number as u64 * 8).unwrap();
        i64::from_le_bytes(bytes)
    }
}
