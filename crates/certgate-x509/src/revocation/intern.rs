//! The CRLs in use in the process, by the SHA-256 of their DER: a CRL that is read twice is stored and verified once.
//!
//! An interned CRL is a function of its octets alone, so interning affects time and memory but no result. The table
//! holds weak references. The signer of a CRL depends on the trust anchors and is kept in [`super::crl_with_signer`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::crl::Crl;
use crate::fingerprint::Sha256;

static INTERNED: Mutex<BTreeMap<Sha256, Weak<Crl>>> = Mutex::new(BTreeMap::new());

/// The equal CRL that is in use already, or else `crl`, which was parsed from octets with this SHA-256.
pub(super) fn intern(sha256: Sha256, crl: Crl) -> Arc<Crl> {
    // A poisoned lock holds a consistent map: no code panics during a change of it.
    let mut known = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
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

    const ONE: &[u8] = include_bytes!("../../tests/data/crl/two_lists_1.der");
    const OTHER: &[u8] = include_bytes!("../../tests/data/crl/two_lists_2.der");

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
        assert!(!INTERNED.lock().unwrap().contains_key(&Sha256::of(ONE)), "nothing is left of it");
    }
}
