//! chromedriver: started by the first test that needs it, gone with this process, however that ends.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// What has to be there, and how to get it.
const MISSING: &str = "chromedriver could not be started; the browser's tests need chromium and chromedriver. \
                       On Debian: apt-get install chromium chromium-driver";

/// The shell ends its whole group, browsers included, as soon as its input ends: when this process is gone. What
/// they put into the directory for temporary files, which is their own, goes with them; it takes a moment until
/// the last of them has stopped writing.
const UNTIL_INPUT_ENDS: &str = r#"
    TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/postrider-browser-XXXXXX"); export TMPDIR
    trap : TERM
    chromedriver --port=0 & cat >/dev/null; kill 0; wait
    for _ in 1 2 3 4 5 6 7 8 9; do rm -rf "$TMPDIR" 2>/dev/null; sleep 0.2; [ -e "$TMPDIR" ] || break; done
"#;

/// The process, and what it is held by.
struct Driver {
    address: String,
    _process: Child,
    _input: ChildStdin,
}

fn start() -> Driver {
    let mut process = Command::new("sh")
        .args(["-c", UNTIL_INPUT_ENDS])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell can be started");
    let input = process.stdin.take().expect("it is piped");
    let output = BufReader::new(process.stdout.take().expect("it is piped"));
    let port = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_suffix('.')?.split_once("successfully on port ")?.1.parse::<u16>().ok())
        .expect(MISSING);
    Driver { address: format!("http://127.0.0.1:{port}"), _process: process, _input: input }
}

/// Chromium without its windows, where it is installed: the same engine, and it starts in half the time.
fn shell() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|at| at.join("chromium-headless-shell")).find(|program| program.exists())
}

/// A new browser with nothing remembered.
pub(crate) async fn browser() -> Client {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    let address = tokio::task::spawn_blocking(|| DRIVER.get_or_init(start).address.as_str())
        .await
        .unwrap_or_else(|_| panic!("{MISSING}"));
    let mut wanted = json!({
        "browserName": "chrome",
        // A prompt that nobody expects must not go away unseen.
        "unhandledPromptBehavior": "ignore",
        "timeouts": { "script": 120_000, "pageLoad": 60_000 },
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": {
            "args": [
                "--headless=new",
                // Tests often run as root and in containers, where chromium's own sandbox does not start.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--lang=en-GB",
                "--window-size=1280,900",
            ],
        },
    });
    if let Some(program) = shell() {
        wanted["goog:chromeOptions"]["binary"] = json!(program);
    }
    let Value::Object(wanted) = wanted else { unreachable!("it is written as an object") };
    ClientBuilder::new(HttpConnector::new())
        .capabilities(wanted)
        .connect(address)
        .await
        .expect("chromium starts")
}
