//! What systemd is told (sd_notify(3)): that the server is ready only once it answers, and that it stops.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::app::App;

fn next(socket: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = socket.recv(&mut message).expect("systemd is told something");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[tokio::test]
async fn systemd_is_told_that_it_is_ready_and_that_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut app = App::start_with_settings(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(next(&socket), "READY=1\n");
    assert_eq!(app.call("GET", "/readyz", None, None).await.status, 200);
    assert_eq!(app.terminate(), 0);
    assert_eq!(next(&socket), "STOPPING=1\n");
}

#[tokio::test]
async fn systemd_is_told_that_the_server_lives_as_long_as_its_database_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let settings = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "600000")];
    let _app = App::start_with_settings(&settings);
    assert_eq!(next(&socket), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(next(&socket), "WATCHDOG=1\n");
    }
}
