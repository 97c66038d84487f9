//! Cold verification against rustls-webpki on the same chain in the same run. Ignored: figures need an optimized
//! build that is not incremental: `make figures-path`.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic and print; tables of cases are types"
)]

use certgate_testing::der as support;
use certgate_x509::{Certificate, NoTrace, PathParameters, Pool, find_path};

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature as lc;
use rustls_pki_types::{CertificateDer, UnixTime};
use support::{Draft, NOW, SigningKey, ext};

/// Leaf, intermediate and root with the extensions that real ones have.
fn chain(new_key: fn() -> SigningKey) -> [Vec<u8>; 3] {
    let (root_key, ica_key, leaf_key) = (new_key(), new_key(), new_key());
    let root = Draft::ca("CN=Root CA,O=Contoso Ltd,C=US", "CN=Root CA,O=Contoso Ltd,C=US", &root_key)
        .with(ext::subject_key(&[1; 20]));
    let ica = Draft::ca("CN=Issuing CA 1,O=Contoso Ltd,C=US", "CN=Root CA,O=Contoso Ltd,C=US", &ica_key)
        .with(ext::subject_key(&[2; 20]))
        .with(ext::authority_key(&[1; 20]));
    let leaf = Draft::client("CN=svc-acme,OU=Payments,O=Acme,C=DE", "CN=Issuing CA 1,O=Contoso Ltd,C=US", &leaf_key)
        .with(ext::subject_key(&[3; 20]))
        .with(ext::authority_key(&[2; 20]))
        .with(ext::key_usage(&[0]));
    [leaf.der(&ica_key), ica.der(&root_key), root.der(&root_key)]
}

/// How much longer a path may take than with rustls-webpki.
const MAX_RATIO: f64 = 1.08;

/// The least times of many runs of each work, in rounds by turns: what it takes when nothing disturbs it.
fn least<const N: usize>(mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for _ in 0..8 {
        for (work, least) in works.iter_mut().zip(&mut least) {
            for _ in 0..500 {
                let start = Instant::now();
                work();
                *least = start.elapsed().min(*least);
            }
        }
    }
    least
}

fn webpki(chain: &[Vec<u8>; 3]) {
    let [leaf, ica, root] = chain.each_ref().map(|der| CertificateDer::from(der.as_slice()));
    let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(NOW.as_secs()).unwrap()));
    let usage = webpki::KeyUsage::client_auth();
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], &[ica], now, usage, None, None).unwrap();
}

fn ours(chain: &[Vec<u8>; 3]) {
    let [leaf, ica, root] = chain.each_ref().map(|der| Arc::new(Certificate::from_der(der.clone()).unwrap()));
    verify(&leaf, &[ica], &Pool::new([root], []));
}

fn verify(leaf: &Arc<Certificate>, presented: &[Arc<Certificate>], pool: &Pool) {
    let parameters = PathParameters::default();
    find_path(leaf, presented, pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(())).unwrap();
}

#[test]
#[ignore = "figures need an optimized build"]
fn against_webpki() {
    let kinds: [(&str, fn() -> SigningKey); 4] = [
        ("P-256", SigningKey::p256),
        ("P-384", || SigningKey::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34", "1.2.840.10045.4.3.3")),
        ("Ed25519", SigningKey::ed25519),
        ("RSA-2048", SigningKey::rsa),
    ];
    let mut slow = Vec::new();
    for (kind, new_key) in kinds {
        let chain = chain(new_key);
        let [leaf, ica, root] = chain.each_ref().map(|der| Arc::new(Certificate::from_der(der.clone()).unwrap()));
        let pool = Pool::new([ica], []);
        let [theirs, cold, parse, known, bare] = least([
            &mut || webpki(&chain),
            &mut || ours(&chain),
            &mut || drop(Certificate::from_der(chain[0].clone())),
            &mut || verify(&leaf, &[], &pool),
            &mut || {
                certgate_x509::verify_signature(
                    pool.anchors()[0].public_key(),
                    leaf.signature_algorithm(),
                    leaf.tbs(),
                    leaf.signature(),
                    &Default::default(),
                )
                .unwrap();
            },
        ]);
        let ratio = cold.as_secs_f64() / theirs.as_secs_f64();
        println!(
            "{kind}: webpki {theirs:?}, certgate {cold:?} ({ratio:.3}); parse leaf {parse:?}; issuer known {known:?}, bare \
             signature {bare:?} ({:.3}); root {}",
            known.as_secs_f64() / bare.as_secs_f64(),
            root.der().len(),
        );
        if ratio > MAX_RATIO {
            slow.push(format!("{kind}: {ratio:.3}"));
        }
    }
    assert!(slow.is_empty(), "more than {MAX_RATIO} times rustls-webpki: {}", slow.join(", "));
}
