//! certgate: a client-certificate authorizer for service meshes.
//!
//! The library is a pure core with adapters around it. [`domain`] takes bytes and a time and returns decisions; it
//! knows no socket, file, runtime or clock. The adapters ([`envoy`], [`kubernetes`], [`mod@file`], [`admin`]) translate
//! between the core and the world and never import one another; they share [`tls`], [`places`] and [`listeners`], among
//! others. [`app`] alone joins them.

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
