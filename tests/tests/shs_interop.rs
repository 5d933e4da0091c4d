//! Our handshake and box stream against other implementations: `shs1-test` and JavaScript's
//! `multiserver`.
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests may panic as well.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use trunkline_tests::binaries;
use trunkline_tests::skip;

/// The packages, in the versions for which the expected results were established.
const PACKAGES: &str = r#"{"private":true,"dependencies":{
"chloride":"2.4.1","multiserver":"3.8.2","pull-box-stream":"1.0.13","pull-stream":"3.7.0",
"secret-handshake":"1.1.21","shs1-test":"1.1.1"}}
"#;

/// The network id that these tests use.
const NETWORK_HEX: &str = "d4a1cb88a66f02f8db635ce26441cc5dac1b08420ceaac230839b755845a9ffb";
/// The same in base64.
const NETWORK_BASE64: &str = "1KHLiKZvAvjbY1ziZEHMXawbCEIM6qwjCDm3VYRan/s=";

/// Nothing, one byte, a full frame, one byte more, and many frames.
const PAYLOADS: [u32; 5] = [0, 1, 4096, 4097, 3_000_000];

/// Seeds from which the suite makes different handshakes.
const SEEDS: u32 = 20;

/// The time after which a program counts as hanging, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn shs1_test_passes_against_our_server() {
    conformance("shs1testserver", "shs1_server");
}

#[test]
fn shs1_test_passes_against_our_client() {
    conformance("shs1testclient", "shs1_client");
}

fn conformance(suite: &str, example: &str) {
    let Some(folder) = packages() else { return };
    let program = binaries::shs_example(example);
    for seed in 1..=SEEDS {
        let mut command = Command::new(folder.join("node_modules/.bin").join(suite));
        let output = finish(command.arg(&program).arg(seed.to_string()));
        assert!(output.status.success(), "{suite} with seed {seed}: {}", said(&output));
    }
}

#[test]
fn the_javascript_client_talks_to_our_server() {
    let Some(folder) = packages() else { return };
    let mut server = Running::start(Command::new(binaries::shs_example("echo_server")).args([
        "0",
        NETWORK_HEX,
        &seed("5e"),
    ]));
    let address = server.line();
    for bytes in PAYLOADS {
        let output = finish(script(&folder, "echo_client.js").args([
            &address,
            NETWORK_BASE64,
            &bytes.to_string(),
        ]));
        assert!(output.status.success(), "{bytes} bytes: {}", said(&output));
    }
}

#[test]
fn we_talk_to_the_javascript_server() {
    let Some(folder) = packages() else { return };
    let mut server = Running::start(script(&folder, "echo_server.js").arg(NETWORK_BASE64));
    let address = server.line();
    for bytes in PAYLOADS {
        let output = dial(&address, NETWORK_HEX, &seed("c1"), bytes);
        assert!(output.status.success(), "{bytes} bytes: {}", said(&output));
    }
    let other = NETWORK_HEX.replace('d', "e");
    let output = dial(&address, &other, &seed("c1"), 1);
    assert!(!output.status.success(), "another network was let in");
}

#[test]
fn our_client_talks_to_our_server() {
    // The public key of the dialler's seed.
    let allowed = "acdcc8494d458f44a7aaac1d6a84ec624daee88436db2ae26e67ba645a106228";
    let program = binaries::shs_example("echo_server");
    let mut server =
        Running::start(Command::new(program).args(["0", NETWORK_HEX, &seed("5e"), allowed]));
    let address = server.line();
    for bytes in PAYLOADS {
        let output = dial(&address, NETWORK_HEX, &seed("c1"), bytes);
        assert!(output.status.success(), "{bytes} bytes: {}", said(&output));
    }
    let output = dial(&address, NETWORK_HEX, &seed("c2"), 1);
    assert_eq!(output.status.code(), Some(1), "a key that is not allowed was let in");
}

#[test]
fn a_slow_handshake_is_closed_silently_after_five_seconds() {
    let program = binaries::shs_example("echo_server");
    let mut server = Running::start(Command::new(program).args(["0", NETWORK_HEX, &seed("5e")]));
    let address = server.line();
    let port: u16 = address.split([':', '~']).nth(2).and_then(|port| port.parse().ok()).unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let (mut silent, mut slow) = (connect(), connect());
    let start = Instant::now();
    // Single bytes now and then must not give it more time.
    let mut drip = slow.try_clone().expect("a socket can be cloned");
    let (stop, stopped) = mpsc::channel::<()>();
    let dripping = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(500)).is_err()
            && drip.write_all(&[0]).is_ok()
        {}
    });
    for (name, socket) in [("silent", &mut silent), ("slow", &mut slow)] {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has time-outs");
        let length = match socket.read(&mut [0; 100]) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("the {name} peer is not cut off: {error}"),
        };
        assert_eq!(length, 0, "the {name} peer got an answer");
        assert!(start.elapsed() >= Duration::from_secs(4), "the {name} peer was cut off early");
    }
    let _ = stop.send(());
    let _ = dripping.join();
}

/// A seed of one byte, 32 times.
fn seed(byte: &str) -> String {
    byte.repeat(32)
}

fn dial(address: &str, network: &str, seed: &str, bytes: u32) -> Output {
    let program = binaries::shs_example("dial");
    finish(Command::new(program).args([address, network, seed, &bytes.to_string()]))
}

fn script(folder: &Path, name: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(name))
        .env("NODE_PATH", folder.join("node_modules"));
    command
}

/// The folder with the packages; `None`, with a line on stderr, if they are missing.
fn packages() -> Option<PathBuf> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match INSTALLED.get_or_init(install) {
        Ok(folder) => Some(folder.clone()),
        Err(why) => {
            skip::aloud("JavaScript interoperation", why);
            None
        }
    }
}

fn install() -> Result<PathBuf, String> {
    for program in ["node", "npm"] {
        let found = Command::new(program).arg("--version").output();
        found.map_err(|error| format!("{program} cannot be started: {error}"))?;
    }
    let folder = binaries::target_folder().join("interop");
    let done = folder.join("installed.json");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == PACKAGES) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    std::fs::write(folder.join("package.json"), PACKAGES).map_err(|error| error.to_string())?;
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("npm install failed: {}", said(&output)));
    }
    std::fs::write(&done, PACKAGES).map_err(|error| error.to_string())?;
    Ok(folder)
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    format!("{}: {} {}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs a program to its end, which has to come.
fn finish(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().expect("the program can be started"));
    let (stdout, stderr) = (drained(running.0.stdout.take()), drained(running.0.stderr.take()));
    // A program that ends closes its pipes.
    let wait = |pipe: mpsc::Receiver<Vec<u8>>| match pipe.recv_timeout(PATIENCE) {
        Ok(bytes) => bytes,
        Err(_) => panic!("{command:?} hangs"),
    };
    let (stdout, stderr) = (wait(stdout), wait(stderr));
    Output { status: running.0.wait().expect("a child can be waited for"), stdout, stderr }
}

/// Everything that a pipe gives, once it is closed.
fn drained(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let mut pipe = pipe.expect("it is piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A program that is killed when the test is over.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Running(command.spawn().expect("the program can be started"))
    }

    /// The first line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a pipe can be read");
        assert!(!line.is_empty(), "the program ended without a word");
        line.trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
