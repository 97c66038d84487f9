//! The certificates of a question, presented as a proxy forwards them: URL-encoded PEM, and an XFCC header where the
//! policies read one.

use std::fmt::Write as _;
use std::iter;

use serde_json::json;

use super::pem;
use super::question::{HeaderLine, Question, QuestionError};
use crate::domain::evidence::EvidenceRule;
use crate::domain::evidence::xfcc::{HEADER as XFCC, MAX_ELEMENTS};
use crate::domain::request::Headers;
use certgate_x509::Sha256;

/// The question's certificates in the form in which Envoy forwards them.
pub(super) struct QuestionCertificates {
    /// URL-encoded PEM of the leaf; empty when there is none.
    pub leaf: String,
    /// URL-encoded PEM of leaf and chain.
    chain: String,
    /// The PEM of each certificate.
    blocks: Vec<String>,
    pub sha256: Option<Sha256>,
    pub count: usize,
}

impl QuestionCertificates {
    pub fn of(question: &Question) -> Result<Self, QuestionError> {
        let blocks = |what, text: &Option<String>| match text {
            Some(text) => pem::certificates(text).map_err(|error| QuestionError::Pem { what, error }),
            None => Ok(Vec::new()),
        };
        let mut all = blocks("certificate", &question.certificate)?;
        all.extend(blocks("chain", &question.chain)?);
        let leaf = all.first().filter(|_| question.certificate.is_some());
        Ok(Self {
            leaf: leaf.map(|block| url_encode(&block.text)).unwrap_or_default(),
            sha256: leaf.and_then(|block| block.der.as_deref()).map(Sha256::of),
            chain: all.iter().map(|block| url_encode(&block.text)).collect(),
            count: all.len(),
            blocks: all.into_iter().map(|block| block.text).collect(),
        })
    }

    /// The header that a proxy forwards with `cert` and `chain` details, unless the question has one: so that policies
    /// with these `rules` of evidence can be explained, too. `None` without a rule that reads the header.
    pub fn xfcc(&self, question: &Question, rules: &[EvidenceRule]) -> Option<MadeHeader> {
        let given = question.headers.iter().any(|line| line.name.eq_ignore_ascii_case(XFCC));
        let sha256 = self.sha256.filter(|_| !given)?;
        let wanted = rules.iter().find_map(|rule| match rule {
            EvidenceRule::Xfcc { element, by } => Some((element.get(), by.as_deref())),
            EvidenceRule::PeerCertificate { .. } | EvidenceRule::Header { .. } => None,
        });
        let reads = |rule: &EvidenceRule| matches!(rule, EvidenceRule::PeerCertificate { .. });
        let (element, by) = wanted.or_else(|| rules.iter().any(reads).then_some((1, None)))?;
        let later = element.saturating_sub(1).min(MAX_ELEMENTS);
        let odd = by.filter(|by| by.contains([',', ';', '"']) || !by.bytes().all(|octet| octet.is_ascii_graphic()));
        let value = match odd {
            Some(by) => self.json(sha256, by, later),
            None => self.text(sha256, by, later),
        };
        let place = (element > 1).then(|| format!("as element {element} from the right"));
        let form = odd.map(|_| "in the JSON form, since the text form cannot carry this By".to_owned());
        let by = by.map(|by| format!("with By={by}"));
        let assumed: Vec<String> = place.into_iter().chain(by).chain(form).collect();
        let assumed = (!assumed.is_empty()).then(|| {
            format!(
                "no {XFCC} was given: the certificate is assumed to come in it {}, because the policy's evidence asks \
                 for that. Pass what your proxy sends with --header",
                assumed.join(", ")
            )
        });
        Some(MadeHeader { value, assumed })
    }

    /// The header in the text form, with `later` elements of further proxies.
    fn text(&self, sha256: Sha256, by: Option<&str>, later: usize) -> String {
        let own = by.map(|by| format!("By={by};")).unwrap_or_default();
        let later = ",By=".repeat(later);
        format!("{own}Hash={sha256};Cert=\"{}\";Chain=\"{}\"{later}", self.leaf, self.chain)
    }

    /// The same in the JSON form.
    fn json(&self, sha256: Sha256, by: &str, later: usize) -> String {
        let own = json!({"by": [by], "hash": sha256.to_string(), "cert": self.blocks.first(), "chain": self.blocks});
        let elements: Vec<_> = iter::once(own).chain(iter::repeat_n(json!({"by": [""]}), later)).collect();
        json!(elements).to_string()
    }
}

/// The XFCC header made from the question's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MadeHeader {
    pub value: String,
    /// The note about the header where it holds more than the certificates.
    pub assumed: Option<String>,
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

/// The question's headers, and the header that the proxy adds.
pub(super) struct HeaderLines<'q>(pub &'q [HeaderLine], pub Option<&'q str>);

impl Headers for HeaderLines<'_> {
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>) {
        out.extend(self.0.iter().filter(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value.as_bytes()));
        if let Some(xfcc) = self.1.filter(|_| name == XFCC) {
            out.push(xfcc.as_bytes());
        }
    }
}
