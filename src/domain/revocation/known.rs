//! The CRLs that are in use anywhere, by the digest of their DER: one that is read again, from two places, or stands in
//! a profile of which something else was edited, is parsed and verified once.
//!
//! What is remembered is a function of the octets alone, so it makes no difference but in time. Nothing is kept alive.
//! Whose a CRL is depends on the profile, and stands in its data.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::crl::{Crl, CrlError};
use crate::domain::fingerprint::Sha256;

static KNOWN: Mutex<BTreeMap<Sha256, Weak<Crl>>> = Mutex::new(BTreeMap::new());

/// Parses a CRL, unless an equal one is in use.
pub fn parse_once(der: Bytes) -> Result<Arc<Crl>, CrlError> {
    let sha256 = Sha256::of(&der);
    // A poisoned lock holds a whole map: nothing panics between two changes of it.
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&sha256).and_then(Weak::upgrade);
    if let Some(known) = known {
        return Ok(known);
    }
    let crl = Arc::new(Crl::from_der(&der)?);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, crl| crl.strong_count() > 0);
    known.insert(sha256, Arc::downgrade(&crl));
    Ok(crl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_crls_are_one_while_they_are_in_use() {
        let der = Bytes::from_static(include_bytes!("../../../fuzz/seeds/crl/two_lists_1"));
        let other = Bytes::from_static(include_bytes!("../../../fuzz/seeds/crl/two_lists_2"));
        let first = parse_once(der.clone()).unwrap();
        assert!(Arc::ptr_eq(&first, &parse_once(Bytes::copy_from_slice(&der)).unwrap()));
        let second = parse_once(other.clone()).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first, &parse_once(der.clone()).unwrap()), "the one before is still known");
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none(), "it is not kept alive");
        drop(second);
        parse_once(other).unwrap();
        assert!(!KNOWN.lock().unwrap().contains_key(&Sha256::of(&der)), "nothing is left of it");
    }
}
