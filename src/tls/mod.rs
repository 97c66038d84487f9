//! TLS for the ports that certgate serves.
//!
//! Owns: reading a certificate chain with its key ([`identity`]) and which clients are accepted ([`clients`]), from memory
//! or from files ([`files`]); the configuration that the next handshake uses, replaced as a whole while connections go on
//! ([`server`]); the handshakes ([`accept`]) and what a connection keeps for its peer ([`stream`]); following the files
//! ([`watch`]); and what metrics tell about all of it ([`health`]). Sockets, and what is said inside of a connection, are the business of the port.
//!
//! Every adapter may use this module; it uses none of them.

pub mod accept;
pub mod clients;
pub mod files;
pub mod health;
pub mod identity;
pub mod server;
pub mod stream;
pub mod watch;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
