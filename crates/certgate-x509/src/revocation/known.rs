//! The CRLs that are in use anywhere, by the digest of their DER: one that is read again, from two places, or stands in
//! a profile of which something else was edited, is held and verified once.
//!
//! What is remembered is a function of the octets alone, so it makes no difference but in time. Nothing is kept alive.
//! Whose a CRL is depends on the profile, and stands in its data.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::crl::Crl;
use crate::fingerprint::Sha256;

static KNOWN: Mutex<BTreeMap<Sha256, Weak<Crl>>> = Mutex::new(BTreeMap::new());

/// The CRL that is in use already, if an equal one is, and else this one, parsed from octets of this digest.
pub(super) fn shared(sha256: Sha256, crl: Crl) -> Arc<Crl> {
    // A poisoned lock holds a whole map: nothing panics between two changes of it.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(&sha256).and_then(Weak::upgrade) {
        return known;
    }
    let crl = Arc::new(crl);
    known.retain(|_, crl| crl.strong_count() > 0);
    known.insert(sha256, Arc::downgrade(&crl));
    crl
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::CrlReader;

    const ONE: &[u8] = include_bytes!("../../fuzz/seeds/crl/two_lists_1");
    const OTHER: &[u8] = include_bytes!("../../fuzz/seeds/crl/two_lists_2");

    fn read_crl(der: &[u8]) -> Arc<Crl> {
        CrlReader::read(der).unwrap().remove(0)
    }

    #[test]
    fn equal_crls_are_one_while_they_are_in_use() {
        let first = read_crl(ONE);
        assert!(Arc::ptr_eq(&first, &read_crl(ONE)));
        let second = read_crl(OTHER);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first, &read_crl(ONE)), "the one before is still known");
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none(), "it is not kept alive");
        drop(second);
        read_crl(OTHER);
        assert!(!KNOWN.lock().unwrap().contains_key(&Sha256::of(ONE)), "nothing is left of it");
    }
}
