//! Listeners of ports: the address as an operator writes it, its sockets, and accepting from all of them.
//!
//! A name means every address that it resolves to, so `localhost` is reachable by IPv4 and IPv6. Names are resolved
//! once, at start.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted: the kernel's default limit.
const BACKLOG: i32 = 4096;

/// An address to listen on: `127.0.0.1:9090`, `[::1]:9090` or `localhost:9090`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// The text is not a listen address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("want ADDRESS:PORT, [IPv6 ADDRESS]:PORT or NAME:PORT")]
pub struct NoListenAddress;

impl FromStr for ListenAddress {
    type Err = NoListenAddress;

    fn from_str(text: &str) -> Result<Self, NoListenAddress> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (name, port) = text.rsplit_once(':').ok_or(NoListenAddress)?;
        let port = port.parse().map_err(|_| NoListenAddress)?;
        let is_name = |c: u8| c.is_ascii_alphanumeric() || b"-._".contains(&c);
        // The last label of a name is not a number (RFC 1123 section 2.1). Otherwise a mistyped address would be
        // resolved as a name.
        let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|c| c.is_ascii_digit());
        if !name.bytes().all(is_name) || is_number {
            return Err(NoListenAddress);
        }
        Ok(Self { host: Host::Name(name.to_owned()), port })
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Address(address.ip()), port: address.port() }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl ListenAddress {
    /// Its addresses. Blocks while it resolves a name.
    pub fn addresses(&self) -> io::Result<BTreeSet<SocketAddr>> {
        Ok(match &self.host {
            Host::Address(address) => [SocketAddr::new(*address, self.port)].into(),
            Host::Name(name) => (name.as_str(), self.port).to_socket_addrs()?.collect(),
        })
    }

    /// Binds a socket to each of its addresses. Blocks while it resolves a name.
    ///
    /// `[::]` accepts IPv4 too, and becomes `0.0.0.0` where the kernel has no IPv6. If a name has several addresses,
    /// those that this machine does not have are skipped.
    pub fn bind(&self) -> io::Result<Bound> {
        let name = match &self.host {
            Host::Address(address) => return Bound::to(SocketAddr::new(*address, self.port)),
            Host::Name(name) => name,
        };
        let found = self.addresses()?;
        let mut bound = Bound::default();
        let mut failed = None;
        for mut address in found {
            // Port 0 selects a free port; all addresses use the same one.
            if let (0, Some(first)) = (address.port(), bound.addresses.first()) {
                address.set_port(first.port());
            }
            match Bound::to(address) {
                Ok(another) => bound.add(another),
                Err(error) if is_absent(&error) => failed = Some((address, error)),
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some((_, error)) if bound.addresses.is_empty() => Err(error),
            None if bound.addresses.is_empty() => Err(io::Error::other("the name has no address")),
            Some((address, error)) => {
                tracing::info!(%address, %error, "cannot listen on one address of {name}");
                Ok(bound)
            }
            None => Ok(bound),
        }
    }
}

/// Whether this machine lacks the address or its family.
fn is_absent(error: &io::Error) -> bool {
    [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].iter().any(|absent| error.raw_os_error() == Some(absent.raw_os_error()))
}

/// Binds `address` by `bind`. `[::]` is every address of both families, and on a machine without IPv6 every IPv4
/// address: one configuration works everywhere.
fn on_any_family<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match bind(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_absent(&error) => {
            tracing::warn!("this machine has no IPv6: listening on 0.0.0.0 instead of [::]");
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    }
}

/// Bound sockets that do not listen yet.
#[derive(Debug, Default)]
pub struct Bound {
    sockets: Vec<Socket>,
    addresses: Vec<SocketAddr>,
}

impl Bound {
    fn to(address: SocketAddr) -> io::Result<Self> {
        on_any_family(address, Self::to_exactly)
    }

    fn to_exactly(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // Independent of the kernel's default.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let bound = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { sockets: vec![socket], addresses: vec![bound] })
    }

    fn add(&mut self, other: Self) {
        self.sockets.extend(other.sockets);
        self.addresses.extend(other.addresses);
    }

    /// The addresses; at least one.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses as one text, for the log.
    pub fn shown(&self) -> String {
        self.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Starts listening. Must be called within the runtime that accepts the connections.
    pub fn listen(self) -> io::Result<Listeners> {
        let listen = |socket: Socket| {
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into())
        };
        let listeners = self.sockets.into_iter().map(listen).collect::<io::Result<Vec<_>>>()?;
        Ok(Listeners { listeners, next: AtomicUsize::new(0) })
    }
}

/// Listening sockets, accepted from as one.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<TcpListener>,
    /// The socket to poll first, so that none starves another.
    next: AtomicUsize,
}

impl From<TcpListener> for Listeners {
    fn from(listener: TcpListener) -> Self {
        Self { listeners: vec![listener], next: AtomicUsize::new(0) }
    }
}

impl Listeners {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            let count = self.listeners.len();
            let first = self.next.fetch_add(1, Ordering::Relaxed);
            for at in 0..count {
                let listener = self.listeners.get(first.wrapping_add(at).checked_rem(count).unwrap_or(0));
                if let Some(Poll::Ready(accepted)) = listener.map(|listener| listener.poll_accept(cx)) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether only this machine can connect. An address that cannot be determined counts as loopback, which is the
    /// stricter choice for the data served there.
    pub fn are_loopback(&self) -> bool {
        let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        self.listeners.iter().all(|listener| listener.local_addr().map_or(true, is_loopback))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_operators_write_them() {
        for text in ["127.0.0.1:9090", "[::]:9090", "localhost:9090", "certgate-0.certgate.ns.svc:0", "a_b.:1"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in
            ["", ":9090", "9090", "localhost", "::1:9090", "127.0.0.1", "300.0.0.1:1", "localhost:70000", "a b:1"]
        {
            assert_eq!(text.parse::<ListenAddress>(), Err(NoListenAddress), "{text:?}");
        }
    }

    async fn connects(listeners: &Listeners, address: SocketAddr) -> bool {
        let connect = async { TcpStream::connect(address).await.is_ok() };
        let (accepted, connected) = tokio::join!(
            async { tokio::time::timeout(std::time::Duration::from_secs(20), listeners.accept()).await },
            connect
        );
        connected && accepted.is_ok_and(|accepted| accepted.is_ok())
    }

    #[tokio::test]
    async fn a_name_listens_on_all_its_addresses_at_one_port() {
        let bound = "localhost:0".parse::<ListenAddress>().unwrap().bind().unwrap();
        let addresses = bound.addresses().to_vec();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == addresses[0].port()));
        let listeners = bound.listen().unwrap();
        assert!(listeners.are_loopback());
        for _ in 0..2 {
            for address in &addresses {
                assert!(connects(&listeners, *address).await, "{address}");
            }
        }
    }

    #[tokio::test]
    async fn all_addresses_of_ipv6_are_those_of_ipv4_too() {
        let listeners = "[::]:0".parse::<ListenAddress>().unwrap().bind().unwrap();
        let port = listeners.addresses()[0].port();
        let listeners = listeners.listen().unwrap();
        assert!(!listeners.are_loopback());
        assert!(connects(&listeners, (Ipv4Addr::LOCALHOST, port).into()).await);
    }

    #[test]
    fn without_ipv6_every_address_is_one_of_ipv4() {
        let without_ipv6 = |address: SocketAddr| match address {
            SocketAddr::V4(_) => Ok(address),
            SocketAddr::V6(_) => Err(io::Error::from(Errno::AFNOSUPPORT)),
        };
        let bound = |address: &str| on_any_family(address.parse().unwrap(), without_ipv6).ok().map(|a| a.to_string());
        assert_eq!(bound("[::]:9090").as_deref(), Some("0.0.0.0:9090"));
        assert_eq!(bound("[::1]:9090"), None, "an address that was meant is not replaced");
        let taken = |_: SocketAddr| Err::<(), _>(io::Error::from(Errno::ADDRINUSE));
        assert!(on_any_family("[::]:9090".parse().unwrap(), taken).is_err());
    }

    #[test]
    fn names_without_an_address_and_taken_ports_are_errors() {
        let error = "name.invalid:1".parse::<ListenAddress>().unwrap().bind();
        assert!(error.is_err());
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ListenAddress::from(taken.local_addr().unwrap());
        assert_eq!(address.bind().unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
