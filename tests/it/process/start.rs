//! The start and the output of a server: limits, signals, pipes that nobody reads, and the URL for commands.

use std::io::{PipeReader, PipeWriter, Write as _};

use super::*;

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until the server on this port is healthy.
async fn healthy(program: &Program, server: &mut Ending, port: u16) {
    in_time("the server", async {
        while program.run(&format!("healthcheck --listen 127.0.0.1:{port}")).await.0 != Some(0) {
            assert_eq!(server.0.try_wait().unwrap(), None, "it ended");
        }
    })
    .await;
}

async fn stopped(mut server: Ending) -> Option<i32> {
    assert!(Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap().success());
    let waiting = tokio::task::spawn_blocking(move || server.0.wait().unwrap().code());
    in_time("the end of the server", waiting).await.unwrap()
}

/// A pipe that is full, so that a write to it blocks.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // The capacity of a pipe on Linux.
    writer.write_all(&[b'.'; 65_536]).unwrap();
    (reader, writer)
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let program = Program::new();
    let port = free_port();
    let binary = env!("CARGO_BIN_EXE_postrider");
    let script = format!("ulimit -Sn 128 && ulimit -Hn 900 && exec {binary} serve --listen 127.0.0.1:{port}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(program.path()).env_clear();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Ending(command.spawn().unwrap());
    healthy(&program, &mut server, port).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.0.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).collect();
    assert_eq!(numbers, [900, 900], "{line}");
    assert_eq!(stopped(server).await, Some(0));
}

#[tokio::test]
async fn a_hangup_during_the_start_does_not_end_the_process() {
    let program = Program::new();
    let port = free_port();
    let mut command = program.command(&format!("serve --listen 127.0.0.1:{port}"));
    let mut server = Ending(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut stdout = BufReader::new(server.0.stdout.take().unwrap());
    let greeting = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        line
    });
    let lock = program.path().join("data/serve.lock");
    in_time("the lock", async {
        while !lock.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // From here to the greeting, which comes when everything has been started.
    while !greeting.is_finished() {
        Command::new("kill").args(["-HUP", &server.0.id().to_string()]).status().unwrap();
        tokio::task::yield_now().await;
    }
    assert!(greeting.await.unwrap().starts_with("Postrider "), "it ended by the signal");
    healthy(&program, &mut server, port).await;
    assert_eq!(stopped(server).await, Some(0));
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_neither_the_api_nor_deliveries_nor_the_end() {
    let (mut program, receiver) = (Program::new(), Receiver::start().await);
    program.env.push(("POSTRIDER_LOG__LEVEL", "trace".to_owned()));
    program.env.push(("POSTRIDER_LOG__FORMAT", "json".to_owned()));
    let (mut log, writer) = full_pipe();
    let port = free_port();
    let mut command = program.command(&format!("serve --listen 127.0.0.1:{port}"));
    let mut server = Ending(command.stdout(Stdio::null()).stderr(writer).spawn().unwrap());
    // Else this process would be a writer, too, and the pipe would have no end.
    drop(command);
    healthy(&program, &mut server, port).await;
    let token = program.key().await["token"].as_str().unwrap().to_owned();
    let client = client();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let post = async |path: &str, body: Value| {
        let request = json_body(client.post(url(path)).bearer_auth(&token), body.to_string());
        in_time("a response", request.send()).await.unwrap().status()
    };
    assert_eq!(post("/v1/webhooks", json!({ "url": receiver.url("/"), "events": ["*"] })).await, 201);
    let dropped = async || {
        let metrics =
            in_time("metrics", client.get(url("/metrics")).send()).await.unwrap().text().await.unwrap();
        let line =
            metrics.lines().find(|line| line.starts_with("postrider_log_lines_dropped_total ")).unwrap();
        line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    while dropped().await == 0.0 {
        for _ in 0..100 {
            assert_eq!(in_time("health", client.get(url("/healthz")).send()).await.unwrap().status(), 200);
        }
    }
    assert_eq!(post("/v1/events", json!({ "event_type": "a.b", "payload": 1 })).await, 202);
    receiver.next().await;

    // With a reader the log goes on, and says what is missing.
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    let lost = dropped().await;
    assert_eq!(stopped(server).await, Some(0));
    let text = in_time("the log", reading).await.unwrap();
    assert!(lost > 0.0 && text.contains(" log lines dropped\""), "{}", text.len());
}

#[tokio::test]
async fn a_log_that_is_never_read_does_not_hold_up_the_end() {
    let program = Program::new();
    let (_log, writer) = full_pipe();
    let port = free_port();
    let mut command = program.command(&format!("serve --listen 127.0.0.1:{port}"));
    let mut server = Ending(command.stdout(Stdio::null()).stderr(writer).spawn().unwrap());
    healthy(&program, &mut server, port).await;
    assert_eq!(stopped(server).await, Some(0));
}

#[tokio::test]
async fn a_greeting_that_nobody_reads_does_not_block_the_server() {
    let program = Program::new();
    let (_greeting, writer) = full_pipe();
    let port = free_port();
    let mut command = program.command(&format!("serve --listen 127.0.0.1:{port}"));
    let mut server = Ending(command.stdout(writer).stderr(Stdio::null()).spawn().unwrap());
    healthy(&program, &mut server, port).await;
    assert_eq!(stopped(server).await, Some(0));
}

#[tokio::test]
async fn commands_print_the_address_of_the_running_server() {
    let program = Program::new();
    let running = program.serve().await;
    let (_, said, _) = program.run("key create --name first --scope admin").await;
    assert!(said.contains(&format!("{}/v1/webhooks", running.base)), "{said}");
    let (_, said, _) = program.run("user create --email a@example.com --role owner").await;
    assert!(said.contains(&format!("{}/admin/", running.base)), "{said}");
    running.signal("TERM");
    assert_eq!(running.ended().await.code, Some(0));
    let (_, said, _) = program.run("key create --name second --scope admin").await;
    assert!(said.contains("http://127.0.0.1:8080/v1/webhooks"), "the configured one: {said}");
}

#[tokio::test]
async fn what_needs_a_stopped_server_says_so() {
    let program = Program::new();
    let running = program.serve().await;
    let (code, _, stderr) = program.run("backup one.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    for command in ["key-file rotate", "restore one.backup"] {
        let (code, _, stderr) = program.run(command).await;
        assert_eq!(code, Some(2), "{command}: {stderr}");
        assert!(stderr.contains("Stop it first, then run this command again"), "{command}: {stderr}");
    }
    assert_eq!(running.get("/readyz").await, 200);
}

#[tokio::test]
async fn short_forms_of_an_address_are_understood() {
    let program = Program::new();
    for host in ["", "localhost"] {
        let port = free_port();
        let mut command = program.command(&format!("serve --listen {host}:{port}"));
        let mut server = Ending(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        healthy(&program, &mut server, port).await;
        assert_eq!(stopped(server).await, Some(0));
    }
}
