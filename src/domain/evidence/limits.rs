//! How much of what a client may have sent is looked at.

pub use certgate_x509::limits::MAX_FORWARDED_CERTIFICATE;

/// The most certificates that may come with a leaf. A path that anyone uses has at most four intermediates; this
/// leaves room for cross-signed ones, and keeps a client from filling path building with junk (Envoy forwards any
/// number that a client sends).
pub const MAX_CHAIN: usize = 10;

/// The most bytes of one header, all its lines together, or of `source.certificate`. Envoy refuses requests with more
/// than 60 KiB of headers by default, but does not count what it adds itself: a client can pad the chain in XFCC. A
/// leaf with [`MAX_CHAIN`] certificates of usual size has half of this.
pub const MAX_HEADER: usize = 64 * 1024;

/// The most lines of one header that a remembered decision may rest on. Every line costs a MAC. The formats of several
/// lines have at most [`MAX_CHAIN`] certificates or 16 elements; requests with more lines are decided anew.
pub const MAX_KEYED_LINES: usize = 16;
