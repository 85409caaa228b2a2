//! The process: binds, announces the address, serves, and ends on a signal.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::args::{Args, options};
use crate::frames::Protocol;
use crate::gateway::{self, Gateway};
use crate::server;

/// Time for the last frames of connections after a signal.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(50);

pub(crate) async fn serve(args: Args) -> Result<(), String> {
    if !args.listen.ip().is_loopback() {
        return Err(format!(
            "{} is not a loopback address; a simulated gateway has nothing to guard itself with, \
             so it listens on no other.",
            args.listen.ip()
        ));
    }
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let line = if args.json {
        json_line(address, args.protocol)
    } else {
        text_line(address, args.protocol)
    };
    let stdin = args.exit_with_stdin.then(stdin_end);
    let gateway = Arc::new(Gateway::new(options(args)?)?);
    tokio::spawn(gateway::tick(Arc::clone(&gateway)));

    announce(&line).map_err(|error| format!("cannot write to standard output: {error}"))?;
    let app = server::router(Arc::clone(&gateway));
    // Small frames must not wait for each other: a gateway on Node sends them at once as well.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            drop(writeln!(std::io::stderr(), "clawfront-sim: {error}"));
        }
    });
    tokio::select! {
        served = axum::serve(listener, app) => served.map_err(|error| error.to_string()),
        () = ended(stdin) => {
            gateway.shut_down();
            tokio::time::sleep(SHUTDOWN_GRACE).await;
            Ok(())
        }
    }
}

fn json_line(address: SocketAddr, protocol: Protocol) -> String {
    serde_json::json!({
        "url": format!("ws://{address}"),
        "http": format!("http://{address}"),
        "protocol": protocol.number(),
    })
    .to_string()
}

fn text_line(address: SocketAddr, protocol: Protocol) -> String {
    let version = protocol.number();
    format!("clawfront-sim speaks protocol {version} on ws://{address}")
}

fn announce(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Resolves at a signal, or at the end of standard input if that is watched.
async fn ended(stdin: Option<oneshot::Receiver<()>>) {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut signal) =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    };
    let stdin_closed = async {
        match stdin {
            // An error means that the thread has ended, and standard input with it.
            Some(closed) => drop(closed.await),
            None => std::future::pending::<()>().await,
        }
    };
    tokio::select! {
        // Without a handler, the signal ends the process by itself.
        Ok(()) = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = stdin_closed => {}
    }
}

/// Resolves at the end of standard input. It uses its own thread, because a blocked read would
/// delay the end of the runtime.
fn stdin_end() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut scratch = [0_u8; 256];
        while matches!(std::io::stdin().read(&mut scratch), Ok(1..)) {}
        // The receiver is dropped if the gateway ends by itself.
        let _is_received = closed.send(());
    });
    receiver
}
