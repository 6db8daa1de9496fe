//! Clients that hold connections and say nothing.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::app::BINARY;

/// Killed at the end of the test, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn however_many_are_silent_the_operator_gets_through() {
    let dir = tempfile::tempdir().unwrap();
    // Half of the files it may open are for connections: these are 128.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\"", BINARY, "--json", "--data-dir"]).arg(dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--http"]).env_clear();
    let mut server = Server(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("the server says where it answers");
    let address = ready["address"].as_str().unwrap().strip_prefix("http://").unwrap();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();

    let mut command = Command::new(BINARY);
    command.env_clear().arg("--data-dir").arg(dir.path()).args(["org", "list"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(silent);
}
