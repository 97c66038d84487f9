//! CRLs: who is listed, dates, signers, scopes, deltas, holds.

use super::{Row, row};
use crate::der::{Draft, Extension, NOW, context, ext, implicit, int, seq, uri};
use crate::scene::{Scene, crl};
use crate::status::{
    CrlDraft, DAY, base, certificate_issuer, crl_issuer, entry, flag, full_name, id, idp, number, points, reason,
    reason_code, reasons,
};

const POINT: &str = "http://crl.example/a";

/// Adds a CRL of the intermediate beside its first one.
fn another(s: &mut Scene) -> &mut CrlDraft {
    if s.crls.is_empty() {
        s.add_crls();
    }
    let made = crl(&s.ica.subject, s.ica_key);
    s.crls.push((made, s.ica_key));
    &mut s.crls.last_mut().unwrap().0
}

fn set(s: &mut Scene, change: impl Fn(CrlDraft) -> CrlDraft) {
    let draft = s.crl();
    *draft = change(draft.clone());
}

fn plain() -> Vec<Row> {
    vec![
        row("CRLs that list nobody", Scene::add_crls),
        row("leaf listed", |s| s.revoke(None)),
        row("leaf listed for a compromised key", |s| s.revoke(Some(reason::KEY_COMPROMISE))),
        row("leaf listed as superseded", |s| s.revoke(Some(reason::SUPERSEDED))),
        row("leaf on hold", |s| s.revoke(Some(reason::HOLD))),
        row("leaf listed as removed", |s| s.revoke(Some(reason::REMOVE))),
        row("another serial number listed", |s| set(s, |crl| crl.lists(&[0x7e, 1], None))),
        row("leaf listed after others", |s| {
            set(s, |crl| (1..40).fold(crl, |crl, serial| crl.lists(&[serial], None)));
            s.revoke(None);
        }),
        row("intermediate listed", |s| {
            s.add_crls();
            let serial = s.ica.serial.clone();
            let at = s.crls.len() - 2;
            s.crls[at].0 = s.crls[at].0.clone().lists(&serial, None);
        }),
        row("intermediate's serial number listed by the wrong CA", |s| {
            let serial = s.ica.serial.clone();
            set(s, |crl| crl.lists(&serial, None));
        }),
        row("CRL of the leaf's issuer missing", |s| {
            s.add_crls();
            s.crls.pop();
        }),
        row("CRL of the root missing", |s| {
            s.add_crls();
            s.crls.remove(0);
        }),
        row("CRL in its first second", |s| set(s, |crl| crl.dated(0, Some(DAY)))),
        row("CRL from the next second on", |s| set(s, |crl| crl.dated(1, Some(DAY)))),
        row("CRL in its last second", |s| set(s, |crl| crl.dated(-DAY, Some(0)))),
        row("CRL stale for a second", |s| set(s, |crl| crl.dated(-DAY, Some(-1)))),
        row("CRL stale, leaf listed", |s| {
            set(s, |crl| crl.dated(-DAY, Some(-1)));
            s.revoke(None);
        }),
        row("CRL without nextUpdate", |s| set(s, |crl| crl.dated(-DAY, None))),
        row("CRL without nextUpdate, ten days old", |s| set(s, |crl| crl.dated(-10 * DAY, None))),
        row("CRL forged", |s| s.crl().forged = true),
        row("CRL of another key", |s| {
            s.crl();
            let key = s.spare(0);
            s.crls.last_mut().unwrap().1 = key;
        }),
        row("CRL of another issuer", |s| s.crl().issuer = crate::der::name("CN=Other")),
        row("CRL's issuer without cRLSign", |s| {
            s.add_crls();
            s.ica.set(ext::key_usage(&[5]));
        }),
        row("CRL of version 1", |s| {
            let crl = s.crl();
            (crl.version, crl.extensions) = (vec![], vec![]);
        }),
        row("CRL of version 1 with extensions", |s| s.crl().version = vec![]),
        row("CRL without a number", |s| {
            set(s, |crl| crl.without(id::CRL_NUMBER).without(id::AUTHORITY_KEY_IDENTIFIER))
        }),
        row("CRL with another authority key", |s| {
            set(s, |crl| crl.with((id::AUTHORITY_KEY_IDENTIFIER.to_owned(), false, seq(&[implicit(0, [9; 20])]))));
        }),
        row("CRL with an unknown critical extension", |s| {
            set(s, |crl| crl.with(ext::any("1.2.3.4", true, vec![5, 0])));
        }),
        row("CRL with an unknown extension", |s| set(s, |crl| crl.with(ext::any("1.2.3.4", false, vec![5, 0])))),
        row("CRL with an unknown critical extension, leaf listed", |s| {
            s.revoke(None);
            set(s, |crl| crl.with(ext::any("1.2.3.4", true, vec![5, 0])));
        }),
        row("entry with an unknown critical extension", |s| {
            let made = entry(&s.leaf.serial, &[ext::any("1.2.3.4", true, vec![5, 0])]);
            s.crl().entries.push(made);
        }),
        row("another entry with an unknown critical extension", |s| {
            s.crl().entries.push(entry(&[0x7d], &[ext::any("1.2.3.4", true, vec![5, 0])]));
        }),
        row("CRL's algorithms differ", |s| s.crl().outer_algorithm = Some(seq(&[crate::der::oid("1.2.3")]))),
        row("trailing element in the CRL", |s| s.crl().trailer = int(1)),
        row("leaf of a serial number that is listed negative", |s| {
            s.leaf.serial = vec![0x7f];
            set(s, |crl| crl.lists(&[0x81], None));
        }),
    ]
}

/// freshestCRL.
fn fresher() -> Extension {
    ext::any(id::FRESHEST_CRL, false, seq(&[seq(&[full_name(&[uri(POINT)])])]))
}

fn several() -> Vec<Row> {
    vec![
        row("newer CRL lists the leaf", |s| {
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(11)).dated(-60, Some(DAY)).lists(&serial, None);
        }),
        row("older CRL lists the leaf", |s| {
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(9)).dated(-2 * DAY, Some(DAY)).lists(&serial, None);
        }),
        row("stale CRL beside a current one", |s| {
            let crl = another(s);
            *crl = crl.clone().with(number(9)).dated(-2 * DAY, Some(-1));
        }),
        row("forged CRL beside a good one", |s| another(s).forged = true),
        row("delta lists the leaf", |s| {
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(11)).with(base(10)).lists(&serial, None);
        }),
        row("delta that the complete CRL points to lists the leaf", |s| {
            set(s, |crl| crl.with(fresher()));
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(11)).with(base(10)).lists(&serial, None);
        }),
        row("delta that the complete CRL points to removes a hold", |s| {
            s.revoke(Some(reason::HOLD));
            set(s, |crl| crl.with(fresher()));
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(11)).with(base(10)).lists(&serial, Some(reason::REMOVE));
        }),
        row("delta lists nobody", |s| {
            let crl = another(s);
            *crl = crl.clone().with(number(11)).with(base(10));
        }),
        row("delta removes a hold", |s| {
            s.revoke(Some(reason::HOLD));
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(11)).with(base(10)).lists(&serial, Some(reason::REMOVE));
        }),
        row("delta removes what is listed for good", |s| {
            s.revoke(Some(reason::KEY_COMPROMISE));
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(11)).with(base(10)).lists(&serial, Some(reason::REMOVE));
        }),
        row("delta of a later base lists the leaf", |s| {
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(12)).with(base(11)).lists(&serial, None);
        }),
        row("stale delta lists the leaf", |s| {
            let serial = s.leaf.serial.clone();
            let crl = another(s);
            *crl = crl.clone().with(number(11)).with(base(10)).dated(-DAY, Some(-1)).lists(&serial, None);
        }),
        row("delta without its base", |s| set(s, |crl| crl.with(number(11)).with(base(10)))),
    ]
}

fn scopes() -> Vec<Row> {
    let scoped = |fields: fn() -> Vec<Vec<u8>>| move |s: &mut Scene| set(s, |crl| crl.with(idp(&fields())));
    let at_point = |leaf: &mut Draft, place: &str| leaf.set(points(&[vec![full_name(&[uri(place)])]]));
    vec![
        row("CRL for users", scoped(|| vec![flag(1)])),
        row("CRL for CAs", scoped(|| vec![flag(2)])),
        row("CRL for attribute certificates", scoped(|| vec![flag(5)])),
        row("CRL for users and CAs", scoped(|| vec![flag(1), flag(2)])),
        row("CRL for some reasons", scoped(|| vec![reasons(3, &[1, 2])])),
        row("CRL for some reasons, leaf listed", |s| {
            s.revoke(Some(reason::KEY_COMPROMISE));
            set(s, |crl| crl.with(idp(&[reasons(3, &[1, 2])])));
        }),
        row("CRL with an empty scope", scoped(Vec::new)),
        row("CRL of a point that the leaf does not name", scoped(|| vec![full_name(&[uri(POINT)])])),
        row("CRL of the leaf's point", move |s| {
            set(s, |crl| crl.with(idp(&[full_name(&[uri(POINT)])])));
            at_point(&mut s.leaf, POINT);
        }),
        row("CRL of another point", move |s| {
            set(s, |crl| crl.with(idp(&[full_name(&[uri("http://crl.example/b")])])));
            at_point(&mut s.leaf, POINT);
        }),
        row("CRL without a scope, leaf with a point", move |s| {
            s.add_crls();
            at_point(&mut s.leaf, POINT);
        }),
        row("CRL of the leaf's point lists it", move |s| {
            s.revoke(None);
            set(s, |crl| crl.with(idp(&[full_name(&[uri(POINT)])])));
            at_point(&mut s.leaf, POINT);
        }),
        row("CRL of another point lists the leaf", move |s| {
            s.revoke(None);
            set(s, |crl| crl.with(idp(&[full_name(&[uri("http://crl.example/b")])])));
            at_point(&mut s.leaf, POINT);
        }),
        row("leaf's point of another CRL issuer, whose CRL is missing", |s| {
            s.add_crls();
            s.leaf.set(points(&[vec![full_name(&[uri(POINT)]), crl_issuer("CN=Other")]]));
        }),
        row("indirect CRL lists the leaf's number of another CA", |s| {
            let listed = entry(&s.leaf.serial, &[certificate_issuer("CN=Other")]);
            set(s, |crl| crl.with(idp(&[flag(4)])));
            s.crl().entries.push(listed);
        }),
        row("indirect CRL lists the leaf", |s| {
            let listed = entry(&s.leaf.serial, &[reason_code(1)]);
            set(s, |crl| crl.with(idp(&[flag(4)])));
            s.crl().entries.push(listed);
        }),
        row("indirect CRL lists nobody", scoped(|| vec![flag(4)])),
        row("CRL by a separate signer of the CA's name", |s| {
            // A certificate of the same name, from the same issuer, for a key that signs CRLs only.
            let key = s.spare(1);
            let mut signer = s.ica.clone();
            signer.spki = key.key().spki();
            signer.set(ext::subject_key(&key.identifier()));
            signer.set(ext::key_usage(&[6]));
            signer.set(ext::not_ca());
            signer.serial = vec![0x47];
            s.add_crls();
            s.more.push((signer, s.ica_signer()));
            let made = crl(&s.ica.subject, key);
            *s.crls.last_mut().unwrap() = (made, key);
        }),
        row("malformed distribution points", |s| {
            s.add_crls();
            s.leaf.set(ext::any(id::CRL_DISTRIBUTION_POINTS, false, int(1)));
        }),
        row("distribution points that are empty", |s| {
            s.add_crls();
            s.leaf.set(ext::any(id::CRL_DISTRIBUTION_POINTS, false, seq(&[])));
        }),
        row("a point with no name at all", |s| {
            s.add_crls();
            s.leaf.set(points(&[vec![reasons(1, &[1])]]));
        }),
        row("a point by directory name", |s| {
            s.add_crls();
            let name = context(4, s.ica.subject.clone());
            s.leaf.set(points(&[vec![full_name(&[name])]]));
        }),
        row("leaf expired and listed", |s| {
            s.revoke(None);
            s.leaf.valid(NOW.minus(9), NOW.minus(1));
        }),
    ]
}

pub fn rows() -> Vec<Row> {
    [plain(), several(), scopes()].into_iter().flatten().collect()
}
