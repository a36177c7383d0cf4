//! Where the server listens, who it believes about its clients, and what the service manager is told.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use super::*;
use crate::support::certificates::self_signed_files;

/// Asks over a Unix socket, and gives the first line of the answer.
fn ask(socket: &Path, path: &str, header: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_owned()
}

/// Reads stdout until the server says that it answers.
async fn answers(child: &mut Child) -> BufReader<ChildStdout> {
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.ends_with("/healthz\n") {
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended: {line}");
        }
        stdout
    });
    in_time("the greeting", reading).await.unwrap()
}

async fn stop(mut child: Child) -> Option<i32> {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let waiting = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
    in_time("the end of the server", waiting).await.unwrap()
}

#[tokio::test]
async fn a_unix_socket_is_for_owner_and_group_and_goes_with_the_server() {
    let program = Program::new();
    let socket = program.path().join("p.sock");
    // One that a crash has left.
    drop(UnixListener::bind(&socket).unwrap());
    let mut child = program.command("--listen unix:p.sock").stdout(Stdio::piped()).spawn().unwrap();
    let _stdout = answers(&mut child).await;
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let (code, stdout, stderr) = program.run("healthcheck --listen unix:p.sock").await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(ask(&socket, "/metrics", ""), "HTTP/1.1 401 Unauthorized", "it has no address");
    let from = |address: &str| ask(&socket, "/metrics", &format!("X-Forwarded-For: {address}\r\n"));
    assert_eq!(from("127.0.0.1"), "HTTP/1.1 200 OK", "a proxy is believed");
    assert_eq!(from("8.8.8.8"), "HTTP/1.1 401 Unauthorized");
    let second = program.run("--data other --listen unix:p.sock").await;
    assert_eq!(second.0, Some(1), "one that is in use is not taken: {}", second.2);
    assert_eq!(stop(child).await, Some(0));
    assert!(!socket.exists());
}

#[tokio::test]
async fn forwarding_headers_count_only_when_a_trusted_proxy_sends_them() {
    for (trusted, client, expected) in
        [("", "127.0.0.1", 401), ("127.0.0.0/8", "8.8.8.8", 401), ("127.0.0.0/8", "127.0.0.1", 200)]
    {
        let mut program = Program::new();
        program.env.push(("POSTRIDER_HTTP__TRUSTED_PROXIES", trusted.to_owned()));
        let running = program.serve().await;
        let request = running.client.get(format!("{}/metrics", running.base));
        let answer = request.header("x-forwarded-for", client).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{client} by {trusted:?}");
    }
}

#[tokio::test]
async fn a_certificate_is_read_again_on_sighup_and_a_bad_one_changes_nothing() {
    let mut program = Program::new();
    let (cert, key) = (program.path().join("cert.pem"), program.path().join("key.pem"));
    let install = |names: &[&str]| {
        let (pem, secret) = self_signed_files(names);
        fs::write(&cert, &pem).unwrap();
        fs::write(&key, secret).unwrap();
        pem
    };
    let first = install(&["127.0.0.1"]);
    program.env.push(("POSTRIDER_TLS__CERTIFICATE", "cert.pem".to_owned()));
    program.env.push(("POSTRIDER_TLS__KEY", "key.pem".to_owned()));
    let mut running = program.serve_for(|client| trusting(client, &first)).await;
    assert!(running.base.starts_with("https://127.0.0.1:"), "{}", running.base);
    let port = running.base.rsplit(':').next().unwrap();
    let (code, said, _) = program.run(&format!("healthcheck --listen 127.0.0.1:{port}")).await;
    assert_eq!((code, said.starts_with("healthy: https://")), (Some(0), true), "{said}");

    fs::write(&cert, "nonsense").unwrap();
    running.signal("HUP");
    in_time("the refusal", async {
        while !program.log().contains("could not be read again") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    running.client = trusting(reqwest::Client::builder(), &first).build().unwrap();
    assert_eq!(running.get("/readyz").await, 200);

    let second = install(&["127.0.0.1"]);
    running.signal("HUP");
    let url = format!("{}/healthz", running.base);
    in_time("the new certificate", async {
        let fresh = || trusting(reqwest::Client::builder(), &second).build().unwrap();
        while fresh().get(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let old = trusting(reqwest::Client::builder(), &first).build().unwrap();
    assert!(old.get(&url).send().await.is_err(), "the old one is gone");
    running.signal("TERM");
    assert_eq!(running.ended().await.code, Some(0));

    fs::remove_file(&key).unwrap();
    let (code, _, stderr) = program.run("serve --listen 127.0.0.1:0").await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("key.pem") && stderr.contains("tls.key"), "{stderr}");
}

fn trusting(client: reqwest::ClientBuilder, pem: &str) -> reqwest::ClientBuilder {
    client.no_proxy().tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()])
}

#[tokio::test]
async fn the_service_manager_hands_over_a_socket_and_hears_of_readiness_life_and_end() {
    let program = Program::new();
    let manager = UnixDatagram::bind(program.path().join("notify")).unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // The shell moves the socket from its standard input to where systemd puts it.
    let script = format!(
        "exec 3<&0 0</dev/null; LISTEN_FDS=1 NOTIFY_SOCKET=notify WATCHDOG_USEC=100000 exec {} serve",
        env!("CARGO_BIN_EXE_postrider")
    );
    let log = File::create(program.path().join("log")).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(program.path())
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let _stdout = answers(&mut child).await;
    let manager = std::sync::Arc::new(manager);
    let hear = async |wanted: &'static str| {
        let manager = manager.clone();
        let hearing = tokio::task::spawn_blocking(move || {
            let mut bytes = [0u8; 256];
            loop {
                let length = manager.recv(&mut bytes).unwrap();
                if String::from_utf8_lossy(&bytes[..length]).lines().any(|line| line == wanted) {
                    return;
                }
            }
        });
        in_time(wanted, hearing).await.unwrap();
    };
    hear("READY=1").await;
    hear("WATCHDOG=1").await;
    hear("WATCHDOG=1").await;
    let answer = client().get(format!("http://{address}/readyz")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "it serves where the socket was opened");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    hear("STOPPING=1").await;
    let waiting = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
    assert_eq!(in_time("the end of the server", waiting).await.unwrap(), Some(0));
}
