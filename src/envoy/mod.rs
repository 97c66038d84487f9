//! Envoy's external authorization (`envoy.service.auth.v3`): the adapter between gRPC and the core.
//!
//! [`request`] reads a CheckRequest, [`response`] turns a decision into the answer, [`service`] joins the two around
//! one decision, and [`server`] carries them over HTTP/2. This module does not know the source of policies.

pub mod answer;
pub mod grpc;
mod preface;
pub mod request;
pub mod response;
mod routes;
pub mod server;
pub mod service;
mod stream;
pub mod unread;
mod wire;

/// The messages of `proto/` as plain structures, and a client: for tests and tools.
///
/// The server itself reads and writes through [`request`] and [`response`]. In particular it never holds a
/// `CheckResponse` structure, whose default value would let a request pass.
#[allow(missing_docs, clippy::all, rust_2018_idioms)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/proto.rs"));
    pub use self::envoy::config::core::v3 as core;
    pub use self::envoy::service::auth::v3 as auth;
    pub use self::envoy::r#type::v3 as r#type;

    /// The descriptors of `proto/` as an encoded FileDescriptorSet.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
