//! What is kept of a decision: what makes the same decision again, in a few hundred octets.
//!
//! Not kept: the certificate, the policy's name, what the policy says of headers and statuses. The policy of the request
//! has these, and another policy has another key.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::decide::decision::{Denial, Presented};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::mapping::changes::MappingsRead;
use certgate_x509::{UnixTime, ValidPolicies};

/// A remembered decision.
#[derive(Debug)]
pub struct Entry {
    /// The first second at which it holds: clocks may be set back.
    pub from: UnixTime,
    /// The last second at which it holds.
    pub until: UnixTime,
    /// The mappings that it rests on.
    pub mappings: MappingsRead,
    /// The certificate that was presented.
    pub presented: Arc<Presented>,
    /// What was decided.
    pub outcome: Outcome,
}

/// What was decided.
#[derive(Debug)]
pub enum Outcome {
    /// The certificate is valid and mapped.
    Granted {
        /// Who it is.
        identity: KeptIdentity,
        /// The certificate policies that its path is valid for, if any.
        policies: Option<Box<ValidPolicies>>,
    },
    /// It was denied, as it was before the policy's statuses were applied.
    Denied(Box<Denial>),
}

/// An identity in one piece of memory.
#[derive(Debug)]
pub enum KeptIdentity {
    /// It belongs to a rule or an entry of a policy, which keeps it anyway.
    Shared(Arc<Identity>),
    /// It was made for this certificate: its texts, each after its length.
    Packed(Box<[u8]>),
}

/// What an entry takes beside its parts: the counts of two Arcs, and the table's own fields.
const OVERHEAD: usize = 2 * 16 + 64;

impl Entry {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: UnixTime) -> bool {
        (self.from..=self.until).contains(&now)
    }

    /// The memory that it takes, in octets, allocations included.
    pub fn size(&self) -> usize {
        let outcome = match &self.outcome {
            Outcome::Granted { identity, policies } => [
                identity.heap_size(),
                policies.as_ref().map_or(0, |policies| policies.policies.len().saturating_mul(64)),
            ],
            Outcome::Denied(denial) => [size_of::<Denial>(), denial.detail.len()],
        };
        let parts = [size_of::<Self>(), self.mappings.heap_size(), size_of::<Presented>(), self.presented.heap_size()];
        parts.into_iter().chain(outcome).fold(OVERHEAD, usize::saturating_add)
    }
}

impl KeptIdentity {
    /// Keeps an identity.
    pub fn new(identity: &Arc<Identity>) -> Self {
        // Whoever else holds it is the policy, whose identities are few.
        if Arc::strong_count(identity) > 1 { Self::Shared(Arc::clone(identity)) } else { Self::Packed(pack(identity)) }
    }

    /// The identity that was kept.
    pub fn restore(&self) -> Option<Arc<Identity>> {
        match self {
            Self::Shared(identity) => Some(Arc::clone(identity)),
            Self::Packed(texts) => unpack(texts).map(Arc::new),
        }
    }

    fn heap_size(&self) -> usize {
        match self {
            Self::Shared(_) => 0,
            Self::Packed(texts) => texts.len(),
        }
    }
}

/// The texts of an identity: user; uid, in a list of none or one; groups; extra, each key before its values.
fn pack(identity: &Identity) -> Box<[u8]> {
    let Identity { user, groups, uid, extra } = identity;
    let mut out = Vec::with_capacity(64);
    put_text(&mut out, user);
    put_list(&mut out, uid.as_slice());
    put_list(&mut out, groups);
    for (key, values) in extra {
        put_text(&mut out, key);
        put_list(&mut out, values);
    }
    out.into_boxed_slice()
}

fn unpack(mut packed: &[u8]) -> Option<Identity> {
    let texts = &mut packed;
    let user = take_text(texts)?;
    let uid = take_list(texts)?.pop();
    let groups = take_list(texts)?;
    let mut extra = BTreeMap::new();
    while !texts.is_empty() {
        extra.insert(take_text(texts)?, take_list(texts)?);
    }
    Some(Identity { user, groups, uid, extra })
}

fn put_number(out: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("compile caps texts and lists far below that");
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_list(out: &mut Vec<u8>, texts: &[String]) {
    put_number(out, texts.len());
    texts.iter().for_each(|text| put_text(out, text));
}

fn take_number(from: &mut &[u8]) -> Option<usize> {
    let (number, rest) = from.split_first_chunk::<4>()?;
    *from = rest;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

fn take_text(from: &mut &[u8]) -> Option<String> {
    let length = take_number(from)?;
    let (text, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(std::str::from_utf8(text).ok()?.to_owned())
}

fn take_list(from: &mut &[u8]) -> Option<Vec<String>> {
    (0..take_number(from)?).map(|_| take_text(from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_as_it_was() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for identity in [
            Identity { user: "a".into(), groups: vec![], uid: None, extra: BTreeMap::new() },
            Identity {
                user: "Jörg".into(),
                groups: texts(&["x", "", "y"]),
                uid: Some(String::new()),
                extra: BTreeMap::from([("k".into(), texts(&[])), ("l".into(), texts(&["1", "2"]))]),
            },
        ] {
            let own = Arc::new(identity.clone());
            assert!(matches!(KeptIdentity::new(&own), KeptIdentity::Packed(_)));
            assert_eq!(*KeptIdentity::new(&own).restore().unwrap(), identity);
            let _policy = Arc::clone(&own);
            assert!(matches!(KeptIdentity::new(&own), KeptIdentity::Shared(_)));
        }
        assert!(
            unpack(&pack(&Identity { user: "abc".into(), groups: vec![], uid: None, extra: BTreeMap::new() })[1..])
                .is_none()
        );
    }
}
