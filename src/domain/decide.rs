//! One Check: from a request to a decision, over an immutable snapshot.

use std::sync::Arc;

use super::decision::Decision;
use super::reason::Reason;
use super::request::Request;
use super::time::UnixTime;
use super::trace::Trace;

/// Everything that decisions need, immutable; shared by requests in flight.
#[derive(Debug, Default)]
pub struct Snapshot {
    generation: u64,
    identity_headers: Vec<Arc<str>>,
}

impl Snapshot {
    /// Decides one request.
    pub fn decide<T: Trace>(&self, request: &Request<'_>, now: UnixTime, trace: &mut T) -> Decision {
        let _ = (request, now, trace);
        Decision::refused(Reason::NoPolicy, "no policies are loaded")
    }

    /// Every request header that any policy can set, lower case, sorted, without duplicates. An adapter removes from the
    /// client's request all of them that the decision does not set.
    pub fn identity_headers(&self) -> &[Arc<str>] {
        &self.identity_headers
    }

    /// Counts the snapshots of one index, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many objects of each kind the snapshot decides by.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// The size of a snapshot.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Policies, with invalid ones.
    pub policies: usize,
    /// Policies that do not compile.
    pub invalid_policies: usize,
    /// Trust profiles.
    pub trust_profiles: usize,
    /// CertificateMapping objects, with invalid ones.
    pub mappings: usize,
}
