use std::collections::HashSet;
use std::sync::Arc;

use certgate_testing::template::{self, CN, NOW, Template};
use certgate_x509::{Certificate, NoTrace, Sha256};

use super::*;

#[test]
fn a_twin_is_disallowed_with_its_certificate() {
    let [root_key, ica_key, leaf_key] = [(); 3].map(|()| template::Key::new());
    let issuer = Template::ca().subject;
    let ica_name = template::name(&[(CN, "ICA")]);
    let parse = |der: Vec<u8>| Arc::new(Certificate::from_der(der).unwrap());
    let root = parse(Template::ca().der(&root_key, &root_key));
    let ica = Template { subject: ica_name.clone(), issuer, serial: vec![2], ..Template::ca() };
    let ica = parse(ica.der(&ica_key, &root_key));
    let leaf = parse(Template { issuer: ica_name, ..Template::default() }.der(&leaf_key, &ica_key));
    let twin = |certificate: &Certificate| Arc::new(certificate.ecdsa_twin().unwrap());
    let judge = |disallowed: &[&Arc<Certificate>], leaf: &Arc<Certificate>, ica: &Arc<Certificate>| {
        let disallowed: HashSet<Sha256> = disallowed.iter().map(|certificate| certificate.sha256()).collect();
        let anchors = vec![Arc::clone(&root)];
        let mode = TrustMode::Chain;
        let profile =
            CertificateVerifier::new(VerifierParameters { mode, anchors, disallowed, ..VerifierParameters::default() });
        let verified = profile.verify(leaf, &[Arc::clone(ica)], NOW, &mut NoTrace);
        verified.map(drop).map_err(|denial| denial.reason)
    };
    assert_eq!(judge(&[], &twin(&leaf), &twin(&ica)), Ok(()), "twins are as good as their certificates");
    for (row, disallowed, leaf, ica) in [
        ("the leaf", &leaf, Arc::clone(&leaf), Arc::clone(&ica)),
        ("the leaf's twin", &leaf, twin(&leaf), Arc::clone(&ica)),
        ("the leaf, its twin listed", &twin(&leaf), Arc::clone(&leaf), Arc::clone(&ica)),
        ("the intermediate", &ica, Arc::clone(&leaf), Arc::clone(&ica)),
        ("the intermediate's twin", &ica, Arc::clone(&leaf), twin(&ica)),
    ] {
        assert_eq!(judge(&[disallowed], &leaf, &ica), Err(Reason::CertDisallowed), "{row}");
    }
}
