//! Ports of 127.0.0.1 for programs that need a port number before they start.
//!
//! Asking the kernel for a free port and closing it again is a race against every other process. Here a port is leased:
//! it lies below the ephemeral range, so no outgoing connection takes it, and a locked file keeps other test processes
//! off it until the lease is dropped. A lease outlives its program, so a test can restart the program at the same port.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port that is leased until this is dropped.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Leases a port on which no process listens.
    pub fn take() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let directory = std::env::temp_dir().join("certgate-test-ports");
        fs::create_dir_all(&directory).expect("the temporary directory is writable");
        // Processes start at different ports, so that they rarely conflict.
        let start = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).expect("smaller than COUNT");
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = FIRST + (u32::from(start) + u32::from(step)).rem_euclid(u32::from(COUNT)) as u16;
            let lock = File::create(directory.join(port.to_string())).expect("a lock file can be made");
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self { port, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// The address to listen on and to connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}
