//! Path building and validation by RFC 5280 section 6.

pub mod constraints;
