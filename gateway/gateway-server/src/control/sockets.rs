//! Binding of listening sockets: one per worker and listener, all on one address by `SO_REUSEPORT`.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted, per socket; the kernel may allow fewer.
const BACKLOG: i32 = 4096;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener}: cannot listen on {bind}: {error}{}", advice(.error))]
pub(crate) struct BindError {
    listener: String,
    bind: SocketAddr,
    error: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has the port: stop it (`ss -ltnp` names it) or change `bind`"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}

/// One socket per worker, all bound to the same address and port. Port 0 takes one free port for all.
pub(crate) fn bind(listener: &str, bind: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    let failed = |error| BindError { listener: listener.to_owned(), bind, error };
    if bind.port() != 0 {
        // Two processes could share a port by SO_REUSEPORT and split its traffic; a port in use must be an error.
        // The probe only binds: a listening socket that closes again would reset clients that found it.
        socket(bind, false).map_err(failed)?;
    }
    let mut sockets = Vec::with_capacity(workers);
    let mut address = bind;
    for _ in 0..workers.max(1) {
        let socket = socket(address, true).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        let socket = TcpListener::from(socket);
        address = socket.local_addr().map_err(failed)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// One socket that is shared with nobody.
pub(crate) fn bind_one(listener: &str, bind: SocketAddr) -> Result<TcpListener, BindError> {
    let failed = |error| BindError { listener: listener.to_owned(), bind, error };
    let socket = socket(bind, false).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run that linger in TIME_WAIT must not block a restart.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
