//! client_cert
