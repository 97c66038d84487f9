//! The JSON form of XFCC: a list of objects, PEM not URL-encoded.
//!
//! Owns: reading it with nothing tolerated: no unknown key, no key twice, no `null`, nothing after the list. The size
//! of the header is capped before; the number of elements is capped while reading. The reading is typed, so nothing in
//! the text can nest deeper than the form does.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Armoured, Element, MAX_ELEMENTS, XfccError, hash};
use certgate_x509::encoding::excerpt::excerpt;

/// The keys as Envoy names them.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum JsonKey {
    By,
    Hash,
    Cert,
    Chain,
    Subject,
    Uri,
    Dns,
    Issuer,
}

/// One object of the list.
#[derive(Default)]
struct JsonElement {
    by: Option<Vec<String>>,
    hash: Option<String>,
    cert: Option<String>,
    chain: Option<Vec<String>>,
    subject: Option<String>,
    uri: Option<Vec<String>>,
    dns: Option<Vec<String>>,
    issuer: Option<String>,
}

/// By hand, because a derived reader would take a list of values for an object too.
impl<'de> Deserialize<'de> for JsonElement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = JsonElement;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonElement, A::Error> {
                let mut object = JsonElement::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        JsonKey::By => once(&mut object.by, "by", &mut map)?,
                        JsonKey::Hash => once(&mut object.hash, "hash", &mut map)?,
                        JsonKey::Cert => once(&mut object.cert, "cert", &mut map)?,
                        JsonKey::Chain => once(&mut object.chain, "chain", &mut map)?,
                        JsonKey::Subject => once(&mut object.subject, "subject", &mut map)?,
                        JsonKey::Uri => once(&mut object.uri, "uri", &mut map)?,
                        JsonKey::Dns => once(&mut object.dns, "dns", &mut map)?,
                        JsonKey::Issuer => once(&mut object.issuer, "issuer", &mut map)?,
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

fn once<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    slot: &mut Option<T>,
    key: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::duplicate_field(key));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

/// The whole header.
struct List(Vec<JsonElement>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
                let mut found = Vec::new();
                while let Some(object) = seq.next_element()? {
                    if found.len() >= MAX_ELEMENTS {
                        return Err(A::Error::custom(XfccError::TooMany { limit: MAX_ELEMENTS }));
                    }
                    found.push(object);
                }
                Ok(List(found))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// Reads the elements of the header's only line.
pub fn parse(line: &[u8]) -> Result<Vec<Element<'static>>, XfccError> {
    let List(list) =
        serde_json::from_slice(line).map_err(|error| XfccError::Json(excerpt(error.to_string().as_bytes())))?;
    list.into_iter().map(element).collect()
}

fn element(object: JsonElement) -> Result<Element<'static>, XfccError> {
    let names = |names: Vec<String>| names.into_iter().map(|name| Cow::Owned(name.into_bytes())).collect();
    Ok(Element {
        by: object.by.map(names).unwrap_or_default(),
        hash: object.hash.map(|text| hash(text.as_bytes(), 0)).transpose()?,
        cert: object.cert.map(|text| Armoured::Plain(vec![text])),
        chain: object.chain.map(Armoured::Plain),
        uri: object.uri.map(names),
        dns: object.dns.map(names),
    })
}
