//! certificate_header
