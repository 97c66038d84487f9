//! Which CRL speaks, which one counts, and which one wins (RFC 5280 section 6.3), rule by rule.

mod complete;
mod delta;
mod hostile;
mod indirect;
mod profile;
mod replay;
mod scope;
mod world;
