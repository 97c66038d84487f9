//! certgate: a client-certificate authorizer for service meshes.
//!
//! The library is laid out as a pure core and adapters around it. [`domain`] takes bytes and a time and gives
//! decisions; it knows no socket, file, runtime or clock. The adapters ([`envoy`], [`mod@file`], [`admin`]) translate
//! between the core and the world and never import one another; [`tls`] and [`places`] and [`listeners`] are shared by their ports. [`app`] alone joins them.

#![warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod domain;
pub mod envoy;
pub mod explain;
pub mod file;
pub mod inspect;
pub mod kubernetes;
pub mod lifecycle;
pub mod listeners;
pub mod metrics;
pub mod panics;
pub mod places;
pub mod reference;
pub mod telemetry;
pub mod terminal;
pub mod tls;
pub mod watch;
pub mod web;
